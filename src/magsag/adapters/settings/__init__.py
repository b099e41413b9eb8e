"""Finds the settings in force: flag, `MAGSAG_*` variable, `magsag.toml`, default, in this order.

Decides which file and which catalog are taken and where every value came from. What a key may hold stands in
`keys`, how lines are found in `file`. All faults are reported at once, each with its place.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from magsag.adapters.settings.file import FILE, Written, read_file
from magsag.adapters.settings.keys import FLAGS, KEYS, LATER_FEATURES, SECTIONS, check, guess, key_of, parse
from magsag.adapters.settings.parts import WrongPart, shown
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.location import is_postgres
from magsag.domain.settings import Audit, Features, Http, Limits, Sandboxing, Settings

__all__ = ["API_KEY", "IS_SHIPPED", "Found", "is_of_the_process", "os_user", "packaged_catalog", "read_settings"]

IS_SHIPPED: Final = "comes with MAGSAG"
"""the source of a catalog that is nobody's own"""
API_KEY: Final = "MAGSAG_API_KEY"
"""the variable in which somebody shows their key; it is no setting, and is never shown"""

OF_THE_PROCESS: Final = frozenset({"MAGSAG_PROJECT", "AGDD_PROJECT", "MAGSAG_DEBUG", "MAGSAG_LOG_FORMAT", API_KEY})
"""variables that are read, but are no settings of a project"""
_NAMED: Final = frozenset({"models", "prices", "providers"})
"""sections whose keys are the project's own names"""
_PREFIXES: Final = ("MAGSAG_", "AGDD_")
_NOT_THERE: Final = "the part behind it is not in this version"


@frozen
class Found:
    """The settings in force, and what should be said about how they were given."""

    settings: Settings
    notes: tuple[str, ...]


def read_settings(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Found:
    """The settings of a process in `cwd`. Raises Invalid with every fault.

    `flags` holds what the command line gave, by key; what is absent or None was not given.
    """
    search = _Search()
    project = _project(flags.get("project"), environ, cwd)
    for key, flag in FLAGS.items():
        if flags.get(key) is not None:
            search.take(key, flags[key], flag)
    _take_variables(environ, search)
    if project.file is not None:
        _take_file(read_file(project.file, _shown(project.file, cwd)), search)
    if search.faults:
        raise Invalid("\n".join(search.faults))
    return Found(_settings(search, project, cwd), tuple(search.notes))


def is_of_the_process(source: str) -> bool:
    """Whether whoever started the process gave a value, by a flag or a variable, and not the project or a default."""
    return source in FLAGS.values() or source.startswith(_PREFIXES)


def packaged_catalog() -> Path:
    """The catalog that comes with MAGSAG: in the wheel, or at the root of a source tree."""
    package = Path(__file__).parents[2]
    inside = package / "_catalog"
    return inside if inside.is_dir() else package.parents[1] / "catalog"


@frozen
class _Value:
    value: Any
    source: str
    in_file: bool = False
    """then a path is relative to the project, else to the working directory"""


@dataclass(slots=True)
class _Search:
    """What was found so far; the first source that gives a key wins."""

    values: dict[str, _Value] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, key: str, given: object, source: str, written: Written | None = None) -> None:
        """Note what is wrong with a value even if a stronger source overrides it; `written` is the file it is from."""
        try:
            value = check(key, given)
        except WrongPart as error:
            for inner, said in error.faults:
                place = written.place(f"{key}.{inner}") if written is not None else source
                self.faults.append(f"{place}: {key}.{inner}{said}")
            return
        except ValueError as error:
            self.faults.append(f"{source}: {key} {error}")
            return
        self.values.setdefault(key, _Value(value, source, written is not None))


@frozen
class _Project:
    folder: Path
    file: Path | None
    source: str


def _project(flag: object, environ: Mapping[str, str], cwd: Path) -> _Project:
    """As named; else the nearest folder upwards with a settings file; else the working directory."""
    variable = next((name for name in ("MAGSAG_PROJECT", "AGDD_PROJECT") if environ.get(name)), "")
    named = flag or environ.get(variable)
    if named:
        folder = (cwd / str(named)).absolute()
        if not folder.is_dir():
            raise Invalid(f"{named}: there is no such project folder; `magsag init {named}` makes one")
        file = folder / FILE
        return _Project(folder, file if file.is_file() else None, "--project" if flag else variable)
    for folder in (cwd, *cwd.parents):
        if (folder / FILE).is_file():
            return _Project(folder, folder / FILE, f"found by its {FILE}")
    return _Project(cwd, None, "working directory")


def _take_variables(environ: Mapping[str, str], search: _Search) -> None:
    for prefix in _PREFIXES:
        for name in sorted(environ):
            short = name.removeprefix(prefix).lower()
            if not name.startswith(prefix) or name in OF_THE_PROCESS:
                continue
            key = key_of(short)
            if short.removeprefix("features_") in LATER_FEATURES:
                search.faults.append(f"{name}: {_NOT_THERE}; unset it")
            elif key is None:
                search.notes.append(f"{name} is no setting{guess(short)}; it is ignored")
            else:
                if prefix == "AGDD_":
                    search.notes.append(f"{name} is read, but its name is MAGSAG_{short.upper()} now; rename it")
                search.take(key, parse(key, environ[name]), name)


def _take_file(written: Written, search: _Search) -> None:
    for key, given in written.values.items():
        source = written.place(key)
        section, _, name = key.partition(".")
        if section == "features" and name in LATER_FEATURES:
            search.faults.append(f"{source}: {key}: {_NOT_THERE}; remove the line")
        elif key in KEYS or (section in _NAMED and name):
            search.take(key, given, source, written)
        elif key in SECTIONS:
            search.faults.append(f"{source}: {key} is {shown(given)}, and a section: write [{key}], and its keys below")
        else:
            search.faults.append(f"{source}: {key} is no setting{guess(key)}")


def _settings(search: _Search, project: _Project, cwd: Path) -> Settings:
    values = {key: search.values.get(key) or _Value(known.default, "default") for key, known in KEYS.items()}
    values |= {key: value for key, value in search.values.items() if key.partition(".")[0] in _NAMED}
    values["project"] = _Value(str(project.folder), project.source)
    values["actor"] = _Value(os_user(), "user of the operating system")
    values["catalog"] = _catalog(values["catalog"], project.folder, cwd)
    for key in ("ledger", "workspace", "audit.anchors"):
        values[key] = _placed(values[key], project.folder, cwd)
    values["sandbox.read"] = _all_placed(values["sandbox.read"], project.folder, cwd)
    own = {key: value.value for key, value in values.items() if "." not in key}
    return Settings(
        **own,
        features=Features(**_section(values, "features")),
        http=Http(**_section(values, "http")),
        sandbox=Sandboxing(**_section(values, "sandbox")),
        audit=Audit(**_section(values, "audit")),
        limits=Limits(**_section(values, "limits")),
        models=_section(values, "models"),
        prices=_section(values, "prices"),
        providers=_section(values, "providers"),
        sources={key: values[key].source for key in sorted(values)},
    )


def _section(values: Mapping[str, _Value], name: str) -> dict[str, Any]:
    start = f"{name}."
    return {key.removeprefix(start): value.value for key, value in values.items() if key.startswith(start)}


def _catalog(given: _Value, project: Path, cwd: Path) -> _Value:
    """As given; else the project's own; else the packaged one."""
    if given.value is not None:
        return _placed(given, project, cwd)
    if (project / "catalog").is_dir() and _is_project(project):
        return _Value(str(project / "catalog"), "the project's own")
    return _Value(str(packaged_catalog()), IS_SHIPPED)


def _is_project(folder: Path) -> bool:
    """A folder that merely happens to hold something called catalog is no project."""
    return (folder / FILE).is_file() or any((folder / "catalog" / name).is_dir() for name in ("agents", "flows"))


def _placed(given: _Value, project: Path, cwd: Path) -> _Value:
    if is_postgres(given.value) or not given.value:
        return given
    base = project if given.in_file or given.source == "default" else cwd
    return _Value(os.path.normpath(base / os.path.expanduser(given.value)), given.source)


def _all_placed(given: _Value, project: Path, cwd: Path) -> _Value:
    placed = [_placed(_Value(path, given.source, given.in_file), project, cwd) for path in given.value]
    return _Value(tuple(one.value for one in placed), given.source)


def _shown(path: Path, cwd: Path) -> str:
    """As a person in `cwd` would type it."""
    return os.path.relpath(path, cwd) if cwd in path.parents or path.parent in cwd.parents else str(path)


def os_user() -> str:
    """The user that this process runs as, by its number: anybody can set variables such as LOGNAME."""
    try:
        import pwd
    except ImportError:
        return os.getlogin()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
