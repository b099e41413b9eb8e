"""The sink that proofs start, for tests: what really happened outside. See `magsag.testing.mailbox` for a process."""

from magsag.adapters.proofs.sink import Heard, Sink

__all__ = ["Heard", "Sink"]
