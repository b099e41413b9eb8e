"""`Result`: how a run stands, from Python. Its tree and its facts are read from the ledger when they are asked for."""

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

from magsag.domain.errors import Broken, Invalid, StepFailed
from magsag.domain.ids import RunId

if TYPE_CHECKING:
    from magsag.services.insight.insight import Insight

_SHOWN: Final = 20_000
"""characters of an output that a notebook shows"""


@dataclass(frozen=True, repr=False)
class Result:
    """How a run stands. `print(result)` draws its tree."""

    run_id: str
    status: str
    """succeeded, partial, failed, denied, cancelled; parked or running when it has not ended"""
    output: Any
    """what the run gave; None unless it succeeded, or is partial: a step failed and a written rule let it go on"""
    error: StepFailed | None
    """why it failed, was denied or was cancelled"""
    waits_for: tuple[str, ...]
    """what a parked run waits for"""
    _insight: "Insight" = field(compare=False)

    @property
    def tree(self) -> dict[str, Any]:
        """The run, its steps and child runs, as `magsag run tree --json` has them; read from the ledger when asked."""
        from magsag.services.insight.documents import tree_document

        return tree_document(self._insight.tree(RunId(self.run_id)))

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The facts of the run, as `magsag run facts --json` has them; read from the ledger when asked."""
        from magsag.services.insight.documents import fact_document

        return [fact_document(fact) for fact in self._insight.facts(RunId(self.run_id))]

    def unwrap(self) -> Any:
        """The output. Raises the run's StepFailed, or Invalid when it has not ended."""
        if self.error is not None:
            raise self.error
        if self.status in ("parked", "running"):
            why = "".join(f"; it waits for {one}" for one in self.waits_for)
            raise Invalid(f"run {self.run_id} is {self.status} and has no output yet{why}")
        return self.output

    def __repr__(self) -> str:
        said = f": {self.error}" if self.error is not None else "".join(f"; waits for {one}" for one in self.waits_for)
        return f"<Result of run {self.run_id}: {self.status}{said}>"

    def __str__(self) -> str:
        try:
            return self._drawn()
        except Broken:
            return repr(self)

    def _repr_html_(self) -> str:
        """For notebooks: the tree, and the output to unfold."""
        parts = [f"<pre>{escape(str(self))}</pre>"]
        if self.output is not None:
            from pydantic_core import to_json

            text = to_json(self.output, indent=2, inf_nan_mode="constants").decode()
            cut = f"{text[:_SHOWN]}\n… {len(text) - _SHOWN:,} characters more" if len(text) > _SHOWN else text
            parts.append(f"<details><summary>output</summary><pre>{escape(cut)}</pre></details>")
        return f"<div>{''.join(parts)}</div>"

    def _drawn(self) -> str:
        from magsag.surfaces.cli.trees import UNICODE, lines_of

        return "\n".join(lines_of(self._insight.tree(RunId(self.run_id)), UNICODE))
