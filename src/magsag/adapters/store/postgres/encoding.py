"""Arrays in the binary form of Postgres. psycopg's own way asks each element for its type; a batch has thousands."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

BOOL, BYTEA, INT8, INT4, TEXT, JSONB = 16, 17, 20, 23, 25, 3802
ARRAY_OF: Final = {BOOL: 1000, BYTEA: 1001, INT8: 1016, INT4: 1007, TEXT: 1009}
_HEADER: Final = struct.Struct("!iiIii")
_EMPTY: Final = struct.Struct("!iiI")
_LENGTH: Final = struct.Struct("!i")
_NULL: Final = _LENGTH.pack(-1)
_INT8: Final = struct.Struct("!q")
_INT8_ELEMENT: Final = struct.Struct("!iq")
_INT4_ELEMENT: Final = struct.Struct("!ii")
_TRUE, _FALSE = _LENGTH.pack(1) + b"\1", _LENGTH.pack(1) + b"\0"


class Parameter(NamedTuple):
    """One argument of a prepared statement."""

    oid: int
    data: bytes | None


def boolean(value: bool) -> Parameter:
    return Parameter(BOOL, b"\1" if value else b"\0")


def text(value: str | None) -> Parameter:
    return Parameter(TEXT, None if value is None else value.encode())


def int8(value: int | None) -> Parameter:
    return Parameter(INT8, None if value is None else _INT8.pack(value))


def bytea(value: bytes | None) -> Parameter:
    return Parameter(BYTEA, value)


def jsonb(value: bytes | None) -> Parameter:
    return Parameter(JSONB, None if value is None else b"\1" + value)


def byteas(values: Sequence[bytes | None]) -> Parameter:
    return _array(BYTEA, len(values), (_element(value) for value in values))


def texts(values: Sequence[str | None]) -> Parameter:
    return _array(TEXT, len(values), (_element(None if value is None else value.encode()) for value in values))


def booleans(values: Sequence[bool]) -> Parameter:
    return _array(BOOL, len(values), (_TRUE if value else _FALSE for value in values))


def int8s(values: Sequence[int | None]) -> Parameter:
    return _array(INT8, len(values), (_NULL if value is None else _INT8_ELEMENT.pack(8, value) for value in values))


def int4s(values: Sequence[int | None]) -> Parameter:
    return _array(INT4, len(values), (_NULL if value is None else _INT4_ELEMENT.pack(4, value) for value in values))


def integer(data: bytes) -> int:
    """A bigint as the server sends it."""
    value: int = _INT8.unpack(data)[0]
    return value


def _array(oid: int, length: int, elements: Iterable[bytes]) -> Parameter:
    if not length:
        return Parameter(ARRAY_OF[oid], _EMPTY.pack(0, 0, oid))
    return Parameter(ARRAY_OF[oid], _HEADER.pack(1, 1, oid, length, 1) + b"".join(elements))


def _element(value: bytes | None) -> bytes:
    return _NULL if value is None else _LENGTH.pack(len(value)) + value
