"""The analysis as one recorded step, in a thread: a long table must not hold up other agents."""

from .analysis import analyse


async def run(payload, ctx):
    """Analyse the table; `analysis.py` says how."""
    return await ctx.call(analyse, payload)
