"""Proofs: promises tried on the user's own project. `crash` kills a run at every boundary and compares what is left."""
