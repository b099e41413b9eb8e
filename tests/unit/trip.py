"""A project that uses every way of running things side by side, for replays, forks and parcels."""

from pathlib import Path
from textwrap import dedent

AGENT = "kind: agent\nschema: 1\nslug: {}\nversion: 1.0.0\nrole: {}\n{}\n"
SKILL = "kind: skill\nschema: 1\nslug: {}\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: {}\n"
USES = "agent:leg-sag, agent:planner-sag, 'skill:price', 'skill:slow', 'model:smart'"
FILES = {
    "agents/main/trip-mag/agent.yaml": AGENT.format("trip-mag", "main", f"entrypoint: agent.py:run\nuses: [{USES}]"),
    "agents/main/trip-mag/agent.py": """\
        import time

        def stamp(word):
            return {"word": word, "at": time.time()}

        async def run(payload, ctx):
            seen = await ctx.call(stamp, "begin")
            said = await ctx.model("smart", "please say hello to " + payload["who"])
            both = await ctx.gather(ctx.skill("price", {"of": "bed"}), ctx.delegate("leg-sag", {"to": "x"}))
            won, first = await ctx.race(ctx.skill("price", {"of": "bus"}), ctx.skill("slow", {"seconds": 5}))
            late = "no"
            try:
                await ctx.timeout(0.05, ctx.skill("slow", {"seconds": 5}))
            except Exception as error:
                late = str(error.type)
            plan = await ctx.delegate("planner-sag", {"stops": ["a", "b", "c"]})
            last = await ctx.skill("price", {"of": str(ctx.uuid())})
            return {"at": seen["at"], "said": said["text"], "both": both, "won": won, "late": late, "plan": plan,
                    "now": ctx.now().isoformat(), "chance": ctx.random()}
        """,
    "agents/sub/leg-sag/agent.yaml": AGENT.format("leg-sag", "sub", "entrypoint: agent.py:run\nuses: ['skill:price']"),
    "agents/sub/leg-sag/agent.py": """\
        async def run(payload, ctx):
            prices = await ctx.map(lambda n: ctx.skill("price", {"of": "stop " + str(n)}), range(3))
            return {"to": payload["to"], "prices": prices}
        """,
    "agents/sub/planner-sag/agent.yaml": AGENT.format("planner-sag", "sub", "flow: 'flow:plan-trip'"),
    "flows/plan-trip.yaml": """\
        kind: flow
        schema: 1
        slug: plan-trip
        version: 1.0.0
        steps:
          - {id: look, uses: "skill:price", for_each: input.stops, with: {of: "= item"}}
          - id: again
            needs: [look]
            loop: {max_rounds: 2, until: steps.tries.price > 2.0}
            steps:
              - {id: tries, uses: "skill:price", with: {of: try}}
        output: "{'looked': steps.look.results}"
        """,
    "skills/price/skill.yaml": SKILL.format("price", "read"),
    "skills/price/skill.py": """\
        import random

        def run(payload):
            return {"of": payload["of"], "price": random.random()}
        """,
    "skills/slow/skill.yaml": SKILL.format("slow", "read"),
    "skills/slow/skill.py": """\
        import asyncio

        async def run(payload):
            await asyncio.sleep(payload["seconds"])
            return {}
        """,
    "agents/main/send-mag/agent.yaml": AGENT.format(
        "send-mag", "main", "entrypoint: agent.py:run\nuses: [agent:ask-sag, 'skill:price']"
    ),
    "agents/main/send-mag/agent.py": """\
        async def run(payload, ctx):
            plan = await ctx.skill("price", {"of": payload["of"]})
            got = await ctx.gather(ctx.delegate("ask-sag", {"plan": plan}), ctx.skill("price", {"of": "b"}))
            return {"got": got}
        """,
    "agents/sub/ask-sag/agent.yaml": AGENT.format(
        "ask-sag", "sub", "entrypoint: agent.py:run\nuses: ['skill:post', 'skill:price']"
    ),
    "agents/sub/ask-sag/agent.py": """\
        async def run(payload, ctx):
            await ctx.skill("price", {"of": "inner"})
            return await ctx.skill("post", {"plan": payload["plan"]})
        """,
    "skills/post/skill.yaml": SKILL.format("post", "unrepeatable"),
    "skills/post/skill.py": """\
        from pathlib import Path

        def run(payload):
            with Path("posted.txt").open("a") as posted:
                posted.write("x")
            return {"sent": payload["plan"]["price"]}
        """,
}
TOML = '[models]\nsmart = "scripted:replies.yaml"\n'
REPLIES = "replies:\n  - {match: hello, text: hi there}\n"


def write_trip(folder: Path) -> Path:
    """Write the project into a folder."""
    for path, text in FILES.items():
        file = folder / "catalog" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
    (folder / "magsag.toml").write_text(TOML, encoding="utf-8")
    (folder / "replies.yaml").write_text(REPLIES, encoding="utf-8")
    return folder
