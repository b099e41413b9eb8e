"""The vocabulary: what a run, a step and a fact are. No IO, no clock, no chance."""
