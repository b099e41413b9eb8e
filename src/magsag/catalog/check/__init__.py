"""The checks of a catalog, one file per subject; each adds findings and decides nothing else."""
