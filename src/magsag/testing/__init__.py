"""What users and adapters test with: fakes as products, and the behavioural suite of each port."""

from magsag.testing.breaking import When, breaking, dying
from magsag.testing.clock import FrozenClock
from magsag.testing.forgetful import forgetful
from magsag.testing.heedless import heedless
from magsag.testing.history import History
from magsag.testing.lawless import lawless
from magsag.testing.project import build_app
from magsag.testing.sink import Sink
from magsag.testing.spendthrift import leaky, spendthrift
from magsag.testing.virtual_time import VirtualTime

__all__ = [
    "FrozenClock",
    "History",
    "Sink",
    "VirtualTime",
    "When",
    "breaking",
    "build_app",
    "dying",
    "forgetful",
    "heedless",
    "lawless",
    "leaky",
    "spendthrift",
]
