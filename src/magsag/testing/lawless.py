"""Apps that judge without the catalog's policies, so that a proof can show that it would notice."""

from typing import Any

from magsag import app
from magsag.policy.rules import Policies


def lawless() -> None:
    """From now on every app of this process judges by the built-in rule alone, whatever its policies say or lack."""
    build = app.build

    def built(*given: Any, **named: Any) -> app.App:
        made = build(*given, **named)
        made.programs.judge_by(Policies((), ""))
        return made

    app.build = built
