"""What a ticket is about, by the words in it. Ask a model here with `ctx.model` once words do not do any more."""

TOPICS = {"billing": ("invoice", "payment", "refund"), "access": ("log in", "login", "password")}
URGENT = ("urgent", "nobody", "outage")


async def run(ticket, ctx):
    """Give topic and urgency of one ticket."""
    text = ticket["text"].lower()
    topic = next((topic for topic, words in TOPICS.items() if any(word in text for word in words)), "other")
    ctx.log("read", id=ticket["id"], topic=topic)
    return {"id": ticket["id"], "topic": topic, "urgent": any(word in text for word in URGENT)}
