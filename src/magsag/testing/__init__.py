"""What users and adapters test with: fakes as products, and the behavioural suite of each port."""

from magsag.testing.forgetful import forgetful

__all__ = ["forgetful"]
