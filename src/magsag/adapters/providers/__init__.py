"""Model APIs. The scripted one answers from a file."""
