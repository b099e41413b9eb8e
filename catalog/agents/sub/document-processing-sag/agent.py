"""The reading as one recorded step, in a thread: a long text must not hold up other agents."""

from .entities import entities_of
from .sections import paragraphs_of, sections_of
from .summary import summary_of


async def run(payload, ctx):
    """Read the document; the files beside this one say how."""
    return await ctx.call(process, payload)


def process(payload):
    """Give sections, entities and summary of one document."""
    sections = sections_of(payload["text"], payload.get("format", "markdown"))
    paragraphs = [paragraph for section in sections for paragraph in paragraphs_of(section["text"])]
    return {
        "sections": sections,
        "entities": entities_of(payload["text"]),
        "summary": summary_of(paragraphs, payload.get("summary_sentences", 3)),
    }
