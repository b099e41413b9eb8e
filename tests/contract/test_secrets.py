"""Where secrets are read from: one suite over the environment, files and the keyring, then what each has of its own."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Timer

import pytest

from magsag.adapters.secrets import SecretSources
from magsag.adapters.secrets.salt import salt_at
from magsag.domain.errors import Invalid
from magsag.domain.secret import NoAnswer, SecretReference, reference_of

VALUE = "correct-horse-battery"


class Kept:
    """One place with one secret that a test can change."""

    def __init__(self, source: str, folder: Path) -> None:
        self.environ: dict[str, str] = {}
        self.entries: dict[tuple[str, str], str] = {}
        self.folder = folder
        names = {"env": "MAIL_TOKEN", "file": "secrets/mail", "keyring": "mail/token"}
        self.reference = SecretReference(source, names[source])
        self.secrets = SecretSources(folder, folder / ".magsag" / "secrets.salt", self.environ, self._ask)

    def put(self, value: str | None) -> None:
        """Keep another value, or none."""
        file = self.folder / "secrets" / "mail"
        self.environ.clear()
        self.entries.clear()
        if value is not None:
            self.environ["MAIL_TOKEN"] = self.entries["mail", "token"] = value
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{value}\n", encoding="utf-8")
            file.chmod(0o640)
        else:
            file.unlink(missing_ok=True)

    def _ask(self, service: str, name: str) -> str | None:
        return self.entries.get((service, name))


@pytest.fixture(params=["env", "file", "keyring"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Kept(request.param, tmp_path)


def test_a_secret_is_read_as_it_is_now(kept: Kept) -> None:
    kept.put(VALUE)
    assert kept.secrets.read(kept.reference) == VALUE
    kept.put("another-value")
    assert kept.secrets.read(kept.reference) == "another-value"


def test_a_missing_one_is_refused_by_its_reference(kept: Kept) -> None:
    kept.put(None)
    with pytest.raises(Invalid, match=f"^{kept.reference}: ") as caught:
        kept.secrets.read(kept.reference)
    assert ";" in str(caught.value), "the next move is missing"


def test_a_short_one_is_refused_and_not_repeated(kept: Kept) -> None:
    kept.put("hunter2")
    with pytest.raises(Invalid, match="fewer than 8 characters") as caught:
        kept.secrets.read(kept.reference)
    assert "hunter2" not in str(caught.value)


def test_versions_tell_values_apart_and_are_the_same_in_every_process(tmp_path: Path) -> None:
    salt = tmp_path / ".magsag" / "secrets.salt"
    one, two = SecretSources(tmp_path, salt), SecretSources(tmp_path, salt)
    assert one.version(VALUE) == two.version(VALUE) != one.version("another-value")
    assert salt.stat().st_mode & 0o077 == 0
    foreign = SecretSources(tmp_path, tmp_path / "other.salt")
    assert foreign.version(VALUE).split("-") != one.version(VALUE).split("-")
    assert SecretSources(tmp_path, None).version(VALUE) != one.version(VALUE)


def test_threads_that_make_a_salt_at_once_have_the_same(tmp_path: Path) -> None:
    start = Barrier(8)

    def made(path: Path) -> bytes:
        start.wait(60)
        return salt_at(path)

    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            path = tmp_path / f"salt-{number}"
            assert set(pool.map(made, [path] * 8)) == {path.read_bytes()}
    assert len(list(tmp_path.iterdir())) == 30


def test_a_salt_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(Invalid, match="no salt of 32 bytes"):
        salt_at(tmp_path / "salt")


@pytest.mark.parametrize(
    ("mode", "may"), [(0o600, True), (0o640, True), (0o444, False), (0o642, False), (0o604, False)]
)
def test_a_file_that_everybody_may_read_or_write_is_refused(tmp_path: Path, mode: int, may: bool) -> None:
    (tmp_path / "token").write_text(VALUE, encoding="utf-8")
    (tmp_path / "token").chmod(mode)
    (tmp_path / "current").symlink_to("token")
    for name in ("token", "current"):
        if may:
            assert SecretSources(tmp_path, None).read(reference_of(f"file:{name}")) == VALUE
        else:
            with pytest.raises(Invalid, match="chmod o-rw"):
                SecretSources(tmp_path, None).read(reference_of(f"file:{name}"))


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "empty"), (b"\xff\xfe" * 8, "no UTF-8"), (b"x" * 70_000, "more than 65536 bytes"), (None, "no such file")],
)
def test_what_is_no_secret_in_a_file_is_refused(tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "token").write_bytes(data)
        (tmp_path / "token").chmod(0o600)
    with pytest.raises(Invalid, match=said):
        SecretSources(tmp_path, None).read(reference_of("file:token"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "folder")
    with pytest.raises(Invalid, match="it cannot be read"):
        SecretSources(tmp_path, None).read(reference_of("file:folder"))
    with pytest.raises(Invalid, match="it is no file"):
        SecretSources(tmp_path, None).read(reference_of("file:/dev/null"))


def test_a_pipe_that_nobody_writes_into_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Invalid, match="it is no file"):
        SecretSources(tmp_path, None).read(reference_of("file:pipe"))


def test_a_keyring_that_is_locked_is_refused_without_what_it_said(tmp_path: Path) -> None:
    def locked(service: str, name: str) -> str | None:
        raise RuntimeError(f"{service} {VALUE}")

    with pytest.raises(Invalid, match=r"the keyring gives nothing \(RuntimeError\)") as caught:
        SecretSources(tmp_path, None, {}, locked).read(reference_of("keyring:mail/token"))
    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_keyring_without_an_answer_is_refused_and_asked_once_until_it_has_one(tmp_path: Path) -> None:
    unlocked, asked = Event(), list[str]()

    def waiting(service: str, name: str) -> str | None:
        asked.append(name)
        unlocked.wait(60)
        return VALUE

    secrets = SecretSources(tmp_path, None, {}, waiting, answer_seconds=0.01)
    for _ in range(2):
        with pytest.raises(NoAnswer, match="the keyring gives no answer; unlock it"):
            secrets.read(reference_of("keyring:mail/token"))
    assert asked == ["token"]
    unlocked.set()


@pytest.mark.parametrize("text", ["file:token", "keyring:mail/token"])
def test_who_asks_meanwhile_waits_for_the_same_answer(tmp_path: Path, text: str) -> None:
    asked, unlocked, count = Event(), Event(), list[str]()

    class Slow(SecretSources):
        def _file(self, reference: SecretReference) -> str:
            return waiting("", reference.name)

    def waiting(service: str, name: str) -> str:
        count.append(name)
        asked.set()
        assert unlocked.wait(60)
        return VALUE

    secrets = Slow(tmp_path, None, {}, waiting, answer_seconds=60)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(secrets.read, reference_of(text))
        assert asked.wait(60)
        others = [pool.submit(secrets.read, reference_of(f"{text}?")) for _ in range(4)]
        Timer(0.05, unlocked.set).start()
        assert [one.result(60) for one in (first, *others)] == [VALUE] * 5
    assert set(count) == {"token"}
    assert secrets.read(reference_of(text)) == VALUE, "it is asked anew afterwards"


def test_the_systems_keyring_is_asked_through_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.py").write_text("def get_password(service, name):\n    return f'{service} and {name}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    try:
        assert SecretSources(tmp_path, None).read(reference_of("keyring:mail/token")) == "mail and token"
    finally:
        sys.modules.pop("keyring", None)


def test_without_that_library_the_next_move_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(Invalid, match=r"pip install 'magsag\[keyring\]'"):
        SecretSources(tmp_path, None).read(reference_of("keyring:mail/token"))
