"""The read side: runs as trees, sums, logs and documents. Nothing here decides about a run."""
