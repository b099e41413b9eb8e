"""Recorded runs taken up again: replay, comparison, fork."""
