"""Which reader a file gets. One that cannot be read at all is a document without values and with the fault."""

from typing import Final

from magsag.catalog.document import Document, Fault, Unreadable

MAX_BYTES: Final = 1_000_000


def read(name: str, data: bytes) -> Document:
    """Read a file's bytes; JSON by its suffix, all else as YAML."""
    if len(data) > MAX_BYTES:
        text = data[:MAX_BYTES].decode("utf-8", "replace")
        return _hopeless(text, Fault(1, 1, f"the file has {len(data):,} bytes", f"keep it below {MAX_BYTES:,} bytes"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        fault = Fault(before.count(b"\n") + 1, column, "the file is not UTF-8", "save it as UTF-8")
        return _hopeless(data.decode("utf-8", "replace"), fault)
    try:
        if name.endswith(".json"):
            from magsag.catalog.json_text import read_json

            return read_json(text)
        from magsag.catalog.yaml_text import read_yaml

        return read_yaml(text)
    except Unreadable as error:
        return _hopeless(text, error.fault)


def _hopeless(text: str, fault: Fault) -> Document:
    return Document(text, None, (fault,), lambda: None)
