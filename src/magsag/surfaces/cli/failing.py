"""How a command fails: which exit code, and what is said on stderr. Never a traceback, unless MAGSAG_DEBUG asks for it.

0 yes · 1 the answer is no · 2 the question was wrong · 3 parked · 4 we are broken · 130 interrupted
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from magsag.domain.errors import Broken, Invalid, MagsagError, Refused, StepFailed
from magsag.services.recording.masking import RESOLVED
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.signals import listen_for_termination
from magsag.surfaces.cli.writing import complain, note, say, silence_stdout

YES: Final = 0
NO: Final = 1
WRONG: Final = 2
PARKED: Final = 3
BROKEN: Final = 4
INTERRUPTED: Final = 130


def guarded(command: click.Command, arguments: Sequence[str], call: Call) -> int:
    """Run the command; turn whatever comes out of it into an exit code and at most one message."""
    listen_for_termination()
    try:
        code = _invoke(command, arguments, call)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        silence_stdout()
        return YES
    except (KeyboardInterrupt, click.Abort):
        return _told(call, INTERRUPTED, "interrupted", "interrupted; no run was under way")
    except click.UsageError as error:
        return _told(call, WRONG, "usage", _usage(error), _asked_json(arguments))
    except MagsagError as error:
        return _failed(call, error)
    except OSError as error:
        _show_traceback()
        where = f"{error.filename}: " if error.filename else ""
        return _told(call, BROKEN, "broken", f"{where}{error.strerror or error}")
    except Exception as error:
        _show_traceback()
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return _told(call, BROKEN, "bug", f"{said}; this is a bug in MAGSAG; MAGSAG_DEBUG=1 shows the traceback")


def closed(call: Call, code: int) -> int:
    """Let go of everything; the exit code stays, unless a command that went well cannot be closed."""
    try:
        call.close()
    except (MagsagError, OSError) as error:
        _show_traceback()
        return _told(call, code or BROKEN, "broken", str(error))
    return code


def _invoke(command: click.Command, arguments: Sequence[str], call: Call) -> int:
    """What click's own `main` does, without its way of ending."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    program = name if name in ("magsag", "agdd") else "magsag"
    if f"_{program.upper()}_COMPLETE" in os.environ:
        command.main(list(arguments), prog_name=program)
    try:
        with command.make_context(program, list(arguments), obj=call) as context:
            code = command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        is_noun = error.ctx.parent is not None
        (note if is_noun else say)(error.format_message())
        return WRONG if is_noun else YES
    return code if isinstance(code, int) else YES


def _failed(call: Call, error: MagsagError) -> int:
    _show_traceback()
    match error:
        case Invalid():
            return _told(call, WRONG, "invalid", str(error))
        case Refused():
            return _told(call, NO, "refused", str(error))
        case StepFailed():
            return _told(call, NO, str(error.type), str(error))
        case Broken():
            return _told(call, BROKEN, "broken", str(error))
        case _:
            return _told(call, NO, "failed", str(error))


def _told(call: Call, code: int, kind: str, message: str, as_json: bool = False) -> int:
    complain(RESOLVED.clean(message), as_json=as_json or call.wants_json, type=kind, exit_code=code)
    return code


def _usage(error: click.UsageError) -> str:
    """One line: what is wrong, and where the help is."""
    text = error.format_message().rstrip(".").replace(". (", " (")
    text = text[:1].lower() + text[1:]
    return f"{text}; see {error.ctx.command_path} --help" if error.ctx is not None else text


def _asked_json(arguments: Sequence[str]) -> bool:
    """The flags were not all read when this error came up."""
    return "--json" in arguments


def _show_traceback() -> None:
    if os.environ.get("MAGSAG_DEBUG"):
        import traceback

        sys.stderr.write(RESOLVED.clean(traceback.format_exc()))
