"""What a user writes: one model per `kind`, closed, at `schema: 1`.

A key enters a model with the code that enforces it; until then the loader refuses it.
"""

from magsag.domain.manifests.agent import Agent
from magsag.domain.manifests.base import Contracts, Manifest, Retry
from magsag.domain.manifests.eval import Eval, Metric
from magsag.domain.manifests.flow import Fallback, Flow, FlowStep, Loop
from magsag.domain.manifests.people import People, Person
from magsag.domain.manifests.policy import FlowGovernance, Policy, Rule
from magsag.domain.manifests.policy_cases import PolicyCase, PolicyTest
from magsag.domain.manifests.proof import Proof, StandIn, ToldSignal
from magsag.domain.manifests.skill import Skill
from magsag.domain.manifests.slo import Slo

KINDS: dict[str, type[Manifest]] = {
    "agent": Agent,
    "skill": Skill,
    "flow": Flow,
    "policy": Policy,
    "policy_test": PolicyTest,
    "people": People,
    "eval": Eval,
    "proof": Proof,
}
"""`kind` -> its model. Contracts are JSON Schemas and have no `kind`."""

__all__ = [
    "KINDS",
    "Agent",
    "Contracts",
    "Eval",
    "Fallback",
    "Flow",
    "FlowGovernance",
    "FlowStep",
    "Loop",
    "Manifest",
    "Metric",
    "People",
    "Person",
    "Policy",
    "PolicyCase",
    "PolicyTest",
    "Proof",
    "Retry",
    "Rule",
    "Skill",
    "Slo",
    "StandIn",
    "ToldSignal",
]
