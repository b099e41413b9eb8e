"""Proofs outside: processes that are killed, boundaries that are counted, and the sink that stands in for acts."""
