"""A contract's schema as it is checked: where a field is marked to be redacted, what stands in its place fits too.

A value goes through several contracts, and only the first one sees the field itself.
"""

from copy import deepcopy
from typing import Final

from magsag.catalog.subschemas import Schema, subschemas

REDACTED: Final = "[redacted]"
MARK: Final = "x-redact"
_STAYS: Final = ("$schema", "$id", "$anchor", "$dynamicAnchor", "$defs", "definitions")
"""what other parts of the schema may refer to"""


def redactable(schema: Schema) -> Schema:
    """The schema, in which every marked part also takes the text that redaction leaves."""
    copy = deepcopy(schema)
    parts = list(subschemas(copy))
    refs = [str(part["$ref"]) for _, part in parts if "$ref" in part]
    for pointer, part in reversed(parts):
        path = "#" + "".join(f"/{name}" for name in pointer)
        if part.get(MARK) is True and not any(_goes_into(ref, path) for ref in refs):
            own = {key: part.pop(key) for key in list(part) if key not in _STAYS}
            part["anyOf"] = [{"const": REDACTED}, own]
    return copy


def _goes_into(ref: str, path: str) -> bool:
    """Whether a reference points at something inside this part, which has to stay where it is."""
    return ref.startswith(f"{path}/") and not ref.startswith((f"{path}/$defs/", f"{path}/definitions/"))
