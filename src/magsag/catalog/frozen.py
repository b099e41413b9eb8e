"""The frozen form of a catalog's files: their hash, and the bytes that a store keeps."""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Final

from pydantic_core import from_json, to_json

from magsag.domain.errors import Broken

_FORM: Final = 1


def content_hash(files: Mapping[str, bytes]) -> str:
    """sha256 over paths and contents, as hex."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(b"%d:%s%d:" % (len(path.encode()), path.encode(), len(content)))
        digest.update(content)
    return digest.hexdigest()


def freeze(files: Mapping[str, bytes]) -> bytes:
    """The files as a store keeps them, under their hash."""
    packed = {path: base64.b64encode(content).decode() for path, content in files.items()}
    return zlib.compress(to_json({"form": _FORM, "files": packed}), 1)


def thaw(data: bytes) -> dict[str, bytes]:
    """The files again. Raises Broken when they are damaged or of a newer form."""
    try:
        held = from_json(zlib.decompress(data))
        form, packed = held["form"], held["files"]
        files = {path: base64.b64decode(content) for path, content in packed.items()}
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Broken(f"a stored bundle cannot be read: {error}; run `magsag data check`") from error
    if form != _FORM:
        raise Broken(f"a stored bundle has form {form}, which a newer magsag reads; install that version")
    return files
