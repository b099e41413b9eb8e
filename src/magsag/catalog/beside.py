"""A flow file that is run although it stands in no catalog: it is put beside the flows of the one in force.

What it names is looked up there; a flow of the catalog with the same slug and version gives way for this run.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from magsag.catalog.document import Document
from magsag.catalog.findings import Finding
from magsag.catalog.reading import read
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen


@frozen
class Beside:
    """One such file."""

    shown: str
    """as it was typed"""
    data: bytes
    key: str
    """its path among the files of the catalog"""
    slug: str
    version: str

    @property
    def ref(self) -> str:
        return f"flow:{self.slug}@{self.version}" if self.version else f"flow:{self.slug}"

    def among(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The catalog's files with this one."""
        kept = {path: data for path, data in files.items() if not self._is_twin(path, data)}
        return dict(sorted({**kept, self.key: self.data}.items()))

    def placed(self, finding: Finding) -> Finding:
        """A finding in this file under the name that was typed."""
        if finding.path != self.key:
            return finding
        return replace(finding, place=f"{self.shown}:{finding.line}:{finding.column}")

    def _is_twin(self, path: str, data: bytes) -> bool:
        if not path.startswith("flows/") or not path.endswith((".yaml", ".yml", ".json")):
            return False
        return _name(read(path, data)) == (self.slug, self.version)


def read_beside(path: str) -> Beside:
    """Read the file. Raises Invalid when it cannot be read or says no slug."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: the flow cannot be read: {error.strerror}") from error
    document = read(path, data)
    if document.value is None and document.faults:
        fault = document.faults[0]
        raise Invalid(f"{path}:{fault.line}:{fault.column}: {fault.what}; {fault.next}")
    suffix = Path(path).suffix
    slug, version = _name(document)
    if not slug:
        raise Invalid(f"{path}:1:1: it names no flow; begin with kind: flow, schema: 1, slug and version")
    return Beside(path, data, f"flows/{slug}.given{suffix if suffix in ('.yml', '.json') else '.yaml'}", slug, version)


def _name(document: Document) -> tuple[str, str]:
    """Slug and version as far as the file says them."""
    value = document.value if isinstance(document.value, dict) else {}
    return str(value.get("slug") or ""), str(value.get("version") or "")
