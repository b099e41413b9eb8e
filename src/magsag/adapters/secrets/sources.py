"""The three places in which a secret may be kept, read anew each time, and the salt under which values are told apart.

Decides what is safe to read: a file that others may read or write is refused, and what is empty, too short or no text
is no secret. What is said never repeats a value.
"""

import os
import stat
from collections.abc import Callable, Mapping
from hashlib import pbkdf2_hmac
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from magsag.adapters.secrets.salt import salt_at
from magsag.domain.errors import Invalid
from magsag.domain.secret import SHORTEST, SecretReference

LARGEST_BYTES: Final = 64 * 1024
_ROUNDS: Final = 5_000
"""of the hash of a value: guessing is to cost something even for who has the salt"""

Ask = Callable[[str, str], str | None]
"""service and name of a keyring's entry -> its value"""


class SecretSources:
    """The secrets of one project, as this process may read them."""

    def __init__(
        self,
        project: Path,
        salt: Path | None,
        environ: Mapping[str, str] = os.environ,
        keyring: Ask | None = None,
    ) -> None:
        """`salt` is the file of the salt, made when it is first needed; without one the salt lives in memory.

        `keyring` asks a keyring other than the operating system's.
        """
        self._project = project
        self._salt_file = salt
        self._environ = environ
        self._keyring = keyring
        self._salt: bytes | None = None
        self._versions: dict[str, str] = {}

    def read(self, reference: SecretReference) -> str:
        """The value as it is now. Raises Invalid, naming the reference and the next move."""
        match reference.source:
            case "env":
                value = self._environ.get(reference.name)
                if not value:
                    raise Invalid(f"{reference}: the variable is not set; set it where MAGSAG runs")
            case "file":
                value = self._file(reference)
            case _:
                value = self._asked(reference)
        if len(value) < SHORTEST:
            said = f"it has fewer than {SHORTEST} characters, too few to be kept out of the record"
            raise Invalid(f"{reference}: {said}; take a longer one")
        return value

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

    def _file(self, reference: SecretReference) -> str:
        path = self._project / reference.name
        try:
            # The file that was looked at is the one that is read, whatever is put in its place meanwhile.
            with path.open("rb") as file:
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
        try:
            value = (self._keyring or _of_the_system(reference))(service, name)
        except Invalid:
            raise
        except Exception as error:  # a foreign library in front of foreign services
            why = f"the keyring gives nothing ({type(error).__name__})"
            raise Invalid(f"{reference}: {why}; unlock it, or install one that this machine can ask") from None
        if not value:
            raise Invalid(f"{reference}: the keyring has no such entry; add it: `keyring set {service} {name}`")
        return value


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
