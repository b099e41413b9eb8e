"""Expressions in CEL, behind `domain.condition`. Importing this imports no library."""

from magsag.adapters.conditions.cel import CelConditions

__all__ = ["CelConditions"]
