"""Published prices of models, as the pinned package genai-prices has them. Importing this imports no library."""

from magsag.adapters.prices.snapshot import Snapshot

__all__ = ["Snapshot"]
