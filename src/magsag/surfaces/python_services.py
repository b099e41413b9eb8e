"""What `Project` needs of the app, and how one is made for it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from magsag.domain.settings import Settings
    from magsag.services.desk.shelf import Shelf
    from magsag.services.driving.events import Events
    from magsag.services.driving.runs import Runs
    from magsag.services.insight.insight import Insight
    from magsag.services.people.approvals import Approvals
    from magsag.services.people.people import Identity

UNCHANGED: Final[Any] = object()
"""arguments that nobody changes; None is JSON, so it may be what somebody approves"""


class Services(Protocol):
    """What `Project` needs of the app."""

    @property
    def runs(self) -> "Runs": ...
    @property
    def settings(self) -> "Settings": ...
    @property
    def events(self) -> "Events": ...
    @property
    def insight(self) -> "Insight": ...
    @property
    def shelf(self) -> "Shelf": ...
    @property
    def approvals(self) -> "Approvals": ...
    @property
    def identity(self) -> "Identity": ...
    def close(self) -> None: ...


OpenApp = Callable[[str | None, Mapping[str, object]], Services]
"""makes the app of a folder, the working directory's when None, with these settings on top"""
