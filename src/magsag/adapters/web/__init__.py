"""HTTP of acts: one resolution of a name, its address judged, and a connection to that address and no other."""

from magsag.adapters.web.guarded import GuardedWeb

__all__ = ["GuardedWeb"]
