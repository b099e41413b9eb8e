"""Who drives a run when: legs, starting and resuming, waiting, and what is told to a run."""
