"""The cases in LangGraph, as its documentation writes them: StateGraph, a saver, `durability="sync"`.

The saver is SQLite's; with `BENCH_URL` it is Postgres's, and runs at once share a pool of 20 connections.

usage: langgraph_peer.py FOLDER               answer on stdin and stdout (see `wire.py`)
       langgraph_peer.py FOLDER start | resume   the run that is killed, and the process that goes on
"""

import asyncio
import operator
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from wire import answer, clock, stamp

FOLDER = Path(sys.argv[1])
URL = os.environ.get("BENCH_URL")
THREADS = count()


class Number(TypedDict):
    n: int


class Wide(TypedDict):
    items: int
    seconds: float
    done: Annotated[list[int], operator.add]


class Item(TypedDict):
    pause: float
    done: Annotated[list[int], operator.add]


class Stamps(TypedDict):
    folder: str
    stamps: Annotated[list[int], operator.add]


def config(**more: Any) -> Any:
    """A thread of its own for each run."""
    return {"configurable": {"thread_id": f"t{next(THREADS)}"}, "recursion_limit": 1000, **more}


def inc(state: Number) -> Number:
    return {"n": state["n"] + 1}


def chain(steps: int) -> Any:
    """A graph of so many nodes, one after the other."""
    graph = StateGraph(Number)
    previous = START
    for index in range(steps):
        graph.add_node(f"s{index}", inc)
        graph.add_edge(previous, f"s{index}")
        previous = f"s{index}"
    graph.add_edge(previous, END)
    return graph


def loop(steps: int) -> Any:
    """One node that runs again until it has run so often; faster than a chain of as many nodes."""
    graph = StateGraph(Number)
    graph.add_node("inc", inc)
    graph.add_edge(START, "inc")
    graph.add_conditional_edges("inc", lambda state: "inc" if state["n"] < steps else END)
    return graph


def fan(child: bool) -> Any:
    """Send: one `wait` for each item, as a node or as a subgraph of one node."""

    async def wait(state: dict[str, float]) -> dict[str, list[int]]:
        await asyncio.sleep(state["pause"])
        return {"done": [1]}

    inner = StateGraph(Item)
    inner.add_node("wait", wait)
    inner.add_edge(START, "wait")
    inner.add_edge("wait", END)
    graph = StateGraph(Wide)
    graph.add_node("item", inner.compile() if child else wait)
    graph.add_conditional_edges(
        START, lambda state: [Send("item", {"pause": state["seconds"]}) for _ in range(state["items"])], ["item"]
    )
    graph.add_edge("item", END)
    return graph


def stamps() -> Any:
    """Eight stamps in a row, for the resume case."""
    graph = StateGraph(Stamps)
    graph.add_node("stamp", lambda state: {"stamps": [stamp(state["folder"], len(state["stamps"]))]})
    graph.add_edge(START, "stamp")
    graph.add_conditional_edges("stamp", lambda state: "stamp" if len(state["stamps"]) < 8 else END)
    return graph


def main() -> None:
    with ExitStack() as stack:
        saver = stack.enter_context(_saver())
        if sys.argv[2:]:
            given = {"folder": str(FOLDER), "stamps": []} if sys.argv[2] == "start" else None
            one = {"configurable": {"thread_id": "bench"}}
            stamps().compile(checkpointer=saver).invoke(given, one, durability="sync")
            return
        runner = stack.enter_context(asyncio.Runner())
        where = "Postgres saver" if URL else "SQLite saver (WAL, synchronous=FULL)"
        answer("langgraph", f'StateGraph, durability="sync", {where}', cases(saver, runner))


def _saver() -> Any:
    if URL is None:
        return SqliteSaver.from_conn_string(str(FOLDER / "checkpoints.db"))
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(URL) as first:
        first.setup()
    return PostgresSaver.from_conn_string(URL)


@asynccontextmanager
async def _wide_saver() -> AsyncIterator[Any]:
    if URL is None:
        async with AsyncSqliteSaver.from_conn_string(str(FOLDER / "checkpoints.db")) as saver:
            yield saver
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(URL, min_size=20, max_size=20, kwargs=settings) as pool:
        yield AsyncPostgresSaver(pool)


def cases(saver: Any, runner: asyncio.Runner) -> dict[str, Any]:
    in_memory, durable = chain(8).compile(), loop(100).compile(checkpointer=saver)

    def memory_step() -> float:
        return clock(lambda: [in_memory.invoke({"n": 0}) for _ in range(20)]) / 160 * 1e6

    def durable_step() -> float:
        return clock(lambda: durable.invoke({"n": 0}, config(), durability="sync")) / 100 * 1e6

    def concurrent(graph: Any, inputs: list[Any], **more: Any) -> float:
        async def all_at_once() -> float:
            async with _wide_saver() as wide:
                compiled = graph.compile(checkpointer=wide)
                runs = [compiled.ainvoke(given, config(**more), durability="sync") for given in inputs]
                began = asyncio.get_running_loop().time()
                await asyncio.gather(*runs)
                return asyncio.get_running_loop().time() - began

        return runner.run(all_at_once())

    def many() -> float:
        return 200 / concurrent(chain(8), [{"n": 0}] * 200)

    def wide(child: bool) -> float:
        return concurrent(fan(child), [{"items": 1000, "seconds": 0.01, "done": []}], max_concurrency=100)

    return {
        "memory_step": memory_step,
        "durable_step": durable_step,
        "many": many,
        "map": lambda: wide(False),
        "children": lambda: wide(True),
    }


if __name__ == "__main__":
    main()
