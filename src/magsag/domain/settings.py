"""Settings in force, each with where it came from. How they are found: `adapters.settings`."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magsag.domain.manifests.budget import ModelPrice
    from magsag.domain.manifests.throttling import ProviderLimits

from magsag.domain.frozen import frozen


class Mode(StrEnum):
    """How much a run may do: `policy.modes`."""

    IMPLEMENT = "implement"
    SAFE_MODE = "safe_mode"
    DRY_RUN = "dry_run"
    ANALYSIS_ONLY = "analysis_only"


@frozen
class Features:
    """Switches. Off means refused, never unguarded."""

    approvals: bool = True
    """off: an `ask` is a `deny`"""
    durable: bool = True
    """off: runs live in memory, and only `pure` and `read` steps start"""


@frozen
class Limits:
    """What a run may grow to."""

    depth: int = 8
    """how deep main agents may delegate to others"""
    children: int = 256
    """child runs of one run"""
    step_seconds: float = 300.0
    """timeout of an act that declares none"""


@frozen
class Sandboxing:
    """What acts in a sandbox find there."""

    read: tuple[str, ...] = ()
    """paths that they may read besides the system's programs, this Python and the workspace"""


@frozen
class Audit:
    """What auditors rely on."""

    anchors: str = ""
    """the file of anchors; empty: beside the ledger, or in the project's folder for one in Postgres"""


@frozen
class Http:
    """What `skill:http-request` and `ctx.http()` reach."""

    allow: tuple[str, ...] = ("public",)
    """hosts that acts may reach: `public`, every address of the internet; HOST, *.DOMAIN, ADDRESS or NETWORK/BITS, with
    :PORT or without. This machine, the local wire and where clouds hand out credentials are reached by address only"""


@frozen
class Settings:
    """All settings of one process."""

    project: str
    """the folder of `magsag.toml`, or the working directory"""
    catalog: str
    """the folder of the catalog in force"""
    ledger: str
    """the SQLite file, or the DSN of a Postgres database"""
    environment: str = "development"
    """where this is; stands in every record, conditions see it as `env`"""
    mode: str = "implement"
    """what runs may do: `implement`, `safe_mode`, `dry_run` or `analysis_only`; stands in every record"""
    durability: str = "governed"
    """`governed`, or `every_step`: each outcome is synced"""
    packages: str = "compatible"
    """what a run does whose code imports packages of which others are installed now: with `compatible` it goes on with
    the same major version, with `exact` only with the same one, with `ignore` with any"""
    actor: str = ""
    """who runs this process: the OS user"""
    lease_seconds: float = 10.0
    """how long a run tree stays with a process that other machines cannot see die"""
    workspace: str = ""
    """the folder of acts: skills for files and acts in a sandbox write nowhere else; it may hold neither the ledger nor
    the catalog nor `magsag.toml`, and is made when it is first needed"""
    features: Features = Features()
    sandbox: Sandboxing = Sandboxing()
    http: Http = Http()
    limits: Limits = Limits()
    audit: Audit = Audit()
    models: Mapping[str, str] = field(default_factory=dict)
    """alias -> `provider:model`"""
    prices: "Mapping[str, ModelPrice | str]" = field(default_factory=dict)
    """alias -> what a million of its model's tokens costs, in USD, e.g. `{input = 0.15, output = 0.60}`, or whose
    published price it has, e.g. `"openai/gpt-4o-mini"` (extra `prices`)"""
    providers: "Mapping[str, ProviderLimits]" = field(default_factory=dict)
    """breaker, rate and concurrency of the models of one provider, e.g. `rate = {calls = 60, per = "1m"}`"""
    sources: Mapping[str, str] = field(default_factory=dict)
    """key -> where its value came from"""
