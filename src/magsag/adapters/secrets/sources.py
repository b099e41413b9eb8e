"""The three places in which a secret may be kept, read anew each time, and the salt under which values are told apart.

Decides what is safe to read: a file that others may read or write is refused, and what is empty, too short or no text
is no secret. What is said never repeats a value. And nothing here waits for long: a pipe is refused without waiting for
who writes into it, a keyring that asks somebody for its password, or a disk that does not answer, after some seconds.
Who wants what somebody else has asked for already waits for that answer.
"""

import os
import stat
from collections.abc import Callable, Mapping
from hashlib import pbkdf2_hmac
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

from magsag.adapters.secrets.salt import salt_at
from magsag.domain.errors import Invalid
from magsag.domain.secret import SHORTEST, NoAnswer, SecretReference

LARGEST_BYTES: Final = 64 * 1024
ANSWER_SECONDS: Final = 5.0
"""how long a keyring or a disk may take"""
_ROUNDS: Final = 5_000
"""of the hash of a value: guessing is to cost something even for who has the salt"""

Ask = Callable[[str, str], str | None]
"""service and name of a keyring's entry -> its value"""


class _Question:
    """One that was put to a keyring or a disk, for all who want its answer."""

    def __init__(self, until: float) -> None:
        """`until` is when nobody waits any longer, on the monotonic clock."""
        self.until = until
        self.answers: list[str | Exception | None] = []
        self.is_over = Event()


class SecretSources:
    """The secrets of one project, as this process may read them."""

    def __init__(
        self,
        project: Path,
        salt: Path | None,
        environ: Mapping[str, str] = os.environ,
        keyring: Ask | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`salt` is the file of the salt, made when it is first needed; without one the salt lives in memory.

        `keyring` asks a keyring other than the operating system's; it has `answer_seconds` for an answer, a file too.
        """
        self._project = project
        self._salt_file = salt
        self._environ = environ
        self._keyring = keyring
        self._answer_seconds = answer_seconds
        self._open: dict[str, _Question] = {}
        """by reference: what has had no answer yet, as when a keyring asks somebody for its password"""
        self._lock = Lock()
        self._salt: bytes | None = None
        self._versions: dict[str, str] = {}

    def read(self, reference: SecretReference) -> str:
        """The value as it is now. Raises Invalid, naming the reference and the next move; NoAnswer."""
        match reference.source:
            case "env":
                value = self._environ.get(reference.name)
                if not value:
                    raise Invalid(f"{reference}: the variable is not set; set it where MAGSAG runs")
            case "file":
                value = self._in_file(reference)
            case _:
                value = self._asked(reference)
        if len(value) < SHORTEST:
            said = f"it has fewer than {SHORTEST} characters, too few to be kept out of the record"
            raise Invalid(f"{reference}: {said}; take a longer one")
        return value

    def may_wait(self, reference: SecretReference) -> bool:
        """Anything but a variable."""
        return reference.source != "env"

    def version(self, value: str) -> str:
        """`SALT-HASH`, 4 and 8 hex digits: values of the same SALT are the same if and only if HASH is."""
        known = self._versions.get(value)
        if known is None:
            self._salt = self._salt or salt_at(self._salt_file)
            data = value.encode("utf-8", "surrogatepass")
            mark = pbkdf2_hmac("sha256", data, self._salt, _ROUNDS, 4).hex()
            known = f"{pbkdf2_hmac('sha256', b'', self._salt, 1, 2).hex()}-{mark}"
            self._versions[value] = known
        return known

    def _in_file(self, reference: SecretReference) -> str:
        found = self._in_time(reference, lambda: self._file(reference), "the disk")
        if isinstance(found, Exception):
            raise found
        return found or ""

    def _file(self, reference: SecretReference) -> str:
        path = self._project / reference.name
        try:
            # The file that was looked at is the one that is read, whatever is put in its place meanwhile.
            with open(path, "rb", opener=_at_once) as file:
                about = os.fstat(file.fileno())
                _require_private(reference, about)
                data = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            raise Invalid(f"{reference}: there is no such file (looked at {path}); put it there") from None
        except OSError as error:
            raise Invalid(f"{reference}: it cannot be read: {error.strerror}; make it readable for this user") from None
        if len(data) > LARGEST_BYTES:
            raise Invalid(f"{reference}: it holds more than {LARGEST_BYTES} bytes; that is no secret")
        try:
            value = data.decode()
        except UnicodeDecodeError:
            raise Invalid(f"{reference}: it is no UTF-8 text; keep binary ones in base64") from None
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise Invalid(f"{reference}: the file is empty; put the secret into it")
        return value

    def _asked(self, reference: SecretReference) -> str:
        service, _, name = reference.name.partition("/")
        ask = self._keyring or _of_the_system(reference)
        found = self._in_time(reference, lambda: ask(service, name), "the keyring")
        if isinstance(found, Exception):
            why = f"the keyring gives nothing ({type(found).__name__})"
            raise Invalid(f"{reference}: {why}; unlock it, or install one that this machine can ask")
        if not found:
            raise Invalid(f"{reference}: the keyring has no such entry; add it: `keyring set {service} {name}`")
        return found

    def _in_time(self, reference: SecretReference, ask: Callable[[], str | None], who: str) -> str | Exception | None:
        """What was answered or raised by `who`, for which nobody can vouch. Raises NoAnswer for neither.

        A question without an answer stays open and is not put again: another one would be another window to close.
        """
        question = self._put(str(reference), ask)
        question.is_over.wait(max(0.0, question.until - monotonic()))
        if not question.answers:
            move = "unlock it before MAGSAG runs" if who == "the keyring" else "look at the file system that it is on"
            raise NoAnswer(f"{reference}: {who} gives no answer; {move}")
        return question.answers[0]

    def _put(self, entry: str, ask: Callable[[], str | None]) -> _Question:
        """The open question of that name, put now unless somebody has."""
        with self._lock:
            if (known := self._open.get(entry)) is not None:
                return known
            question = _Question(monotonic() + self._answer_seconds)

            def answer() -> None:
                try:
                    question.answers.append(ask())
                except Exception as error:
                    question.answers.append(error)
                finally:
                    with self._lock:
                        del self._open[entry]
                    question.is_over.set()

            Thread(target=answer, name="magsag-secret", daemon=True).start()
            self._open[entry] = question
            return question


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe, and not for programs that are started later."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def _require_private(reference: SecretReference, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise Invalid(f"{reference}: it is no file; name a file")
    if os.name == "posix" and about.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        mode = stat.S_IMODE(about.st_mode)
        raise Invalid(f"{reference}: everybody on this machine may read or write it (mode {mode:03o}); chmod o-rw it")


def _of_the_system(reference: SecretReference) -> Ask:
    if find_spec("keyring") is None:
        raise Invalid(f"{reference}: the keyring needs its library: pip install 'magsag[keyring]'")
    ask: Ask = import_module("keyring").get_password
    return ask
