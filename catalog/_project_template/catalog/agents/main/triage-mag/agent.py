"""How tickets are sorted: every ticket is delegated, what is urgent is filed as one report."""


async def run(payload, ctx):
    """Read all tickets, five at once, then file the urgent ones."""
    tickets = await ctx.map(lambda ticket: ctx.delegate("ticket-reader-sag", ticket), payload["tickets"], concurrency=5)
    urgent = [ticket for ticket in tickets if ticket["urgent"]]
    receipt = await ctx.skill("file-report", {"tickets": urgent}) if urgent else {"path": ""}
    return {"tickets": tickets, "report": receipt["path"]}
