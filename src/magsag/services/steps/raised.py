"""An exception of catalog code, as a failed step: one line with the user's own file and line, the rest in details."""

import os
import sysconfig
import traceback
from typing import Final

from magsag.domain.errors import ErrorType, MagsagError, StepFailed
from magsag.services.recording.masking import RESOLVED

LIMIT: Final = 32 * 1024
"""how much of a traceback is kept, in characters"""
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_NOT_THE_USERS: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), _PACKAGE, "<frozen")
_SHIPPED: Final = os.path.join(_PACKAGE, "_catalog")


def raised(error: BaseException) -> StepFailed:
    """The error as `raised`, with `details.traceback` and `details.exception`."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_users(frame.filename)]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    text = RESOLVED.clean(
        str(error)
    )  # before a line or a piece is taken of it, in which half a secret would be unknown
    message = text.splitlines()[0] if text else "without a message"
    said = message if isinstance(error, MagsagError) else f"{type(error).__name__}: {message}"
    details = {"traceback": _shortened(error), "exception": type(error).__name__}
    return StepFailed(ErrorType.RAISED, f"{said}{where}", details)


def _shortened(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    text = RESOLVED.clean(text).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LIMIT else f"{text[: LIMIT // 2]}\n...\n{text[-LIMIT // 2 :]}"


def _is_the_users(filename: str) -> bool:
    return filename.startswith(_SHIPPED) or not filename.startswith(_NOT_THE_USERS)
