"""The one place where an act is judged, started, performed and settled."""
