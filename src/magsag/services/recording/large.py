"""Values on their way into the ledger and out of it: large ones become blobs, and blobs become handles."""

from collections.abc import Container
from hashlib import sha256
from typing import Final

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.ids import RunId
from magsag.domain.large import LARGE_BYTES, MARK, MARK_BYTES, handle, lifted, lowered
from magsag.domain.values import decode, encode, encode_known
from magsag.engine.chain import blob_id
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.ledger import Ledger
from magsag.services.recording.driven import Tree
from magsag.services.recording.masking import RESOLVED, Leak
from magsag.services.recording.recorder import Recorder

_FIX: Final = "name it under `secrets` in the manifest of the skill that needs it, and read it there with ctx.secret"


class Values:
    """Encodes and decodes for the trees that this process drives."""

    def __init__(self, recorder: Recorder, ledger: Ledger, clock: Clock) -> None:
        self._recorder = recorder
        self._ledger = ledger
        self._clock = clock

    def encode(
        self, tree: Tree, run: Run, value: object, what: str, may_not_leak: bool = False
    ) -> tuple[bytes, object]:
        """The bytes to record and the value to hand on.

        Raises StepFailed(invalid_value); with `may_not_leak` also for what holds a secret.
        """
        if tree.handles:
            data, bare = encode(_lifted(value, tree.handles, what), what, marks=True)
            copy = lowered(bare, tree.handles.__getitem__) if MARK_BYTES in data else bare
        else:
            data, copy = encode(value, what)
            bare = copy
        if may_not_leak and RESOLVED:
            self._require_no_secret(tree, bare, copy, what)
        return (data, copy) if len(data) <= LARGE_BYTES else self._split(tree, run, copy)

    def known(self, tree: Tree, run: Run, value: object) -> tuple[bytes, object]:
        """The same for a value that is JSON for certain."""
        data = encode_known(lifted(value, tree.handles) if tree.handles else value)
        return (data, value) if len(data) <= LARGE_BYTES else self._split(tree, run, value)

    def decode(self, tree: Tree, data: bytes | None) -> object:
        """Recorded bytes as a program gets them."""
        if data is None:
            return None
        value = decode(data)
        return lowered(value, lambda id: self._find(tree, id)) if MARK_BYTES in data else value

    def record(self, tenant: str, key: str) -> bytes | None:
        """What an act put under this key."""
        return self._ledger.record(tenant, key)

    def _require_no_secret(self, tree: Tree, bare: object, copy: object, what: str) -> None:
        """Large values that were looked into since a secret was learned last are not looked into again."""
        named, known = set[str](), RESOLVED.size
        if bare is not copy:
            lowered(bare, named.add)
        is_clean = all(tree.clean.get(id) == known for id in named)
        require_no_secret(bare if is_clean else copy, what)
        tree.clean.update(dict.fromkeys(named, known))

    def _split(self, tree: Tree, run: Run, value: object) -> tuple[bytes, object]:
        """Keep the large parts of a large value, each under its own name, then what is left if that is large still."""
        if type(value) is dict:
            value = {key: self._part(tree, run, part) for key, part in value.items()}
        elif type(value) is list:
            value = [self._part(tree, run, part) for part in value]
        data = encode_known(lifted(value, tree.handles))
        return (data, value) if len(data) <= LARGE_BYTES else self._keep(tree, run, data, value)

    def _part(self, tree: Tree, run: Run, part: object) -> object:
        if type(part) not in (dict, list) or len(encode_known(lifted(part, tree.handles))) <= LARGE_BYTES:
            return part
        return self._split(tree, run, part)[1]

    def _keep(self, tree: Tree, run: Run, data: bytes, value: object) -> tuple[bytes, object]:
        digest = sha256(data).digest()
        id = tree.blobs.get(digest)
        if id is None:
            id = tree.blobs[digest] = blob_id(self._clock.chance(16), data)
            tree.handles[id] = handle(value, id)
            self._recorder.add_blob(tree, run, id, data)
        return encode_known({MARK: id}), tree.handles[id]

    def _find(self, tree: Tree, id: str) -> object:
        if id not in tree.handles:
            data = self._ledger.blob(tree.root, id)
            tree.blobs[sha256(data).digest()] = id
            tree.handles[id] = handle(self.decode(tree, data), id)
        return tree.handles[id]


def set_apart(data: bytes, clock: Clock) -> tuple[bytes, dict[str, bytes]]:
    """A payload from outside as it is recorded, with the large value that it names, when it is one."""
    if len(data) <= LARGE_BYTES:
        return data, {}
    id = blob_id(clock.chance(16), data)
    return encode_known({MARK: id}), {id: data}


def require_no_secret(value: object, what: str, fix: str = _FIX) -> None:
    """Raises StepFailed(invalid_value), naming the secret and its place, for a value that holds a known secret."""
    if (leak := RESOLVED.find(value)) is not None:
        raise _leaking(what, leak, fix)


def _leaking(what: str, leak: Leak, fix: str = _FIX) -> StepFailed:
    at = RESOLVED.clean(leak.pointer) or "/"
    return StepFailed(ErrorType.INVALID_VALUE, f"{what} holds the secret {leak.name} at {at}: {fix}")


def _lifted(value: object, known: Container[str], what: str) -> object:
    try:
        return lifted(value, known)
    except (ValueError, RecursionError) as error:
        raise StepFailed(ErrorType.INVALID_VALUE, f"{what}: {error}") from None


def plain(ledger: Ledger, root: RunId, data: bytes | None) -> object:
    """Recorded bytes as outsiders read them, large values in full."""
    if data is None:
        return None
    value = decode(data)
    return lowered(value, lambda id: plain(ledger, root, ledger.blob(root, id))) if MARK_BYTES in data else value
