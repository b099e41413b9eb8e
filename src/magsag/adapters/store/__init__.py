"""Where facts live: in memory, or in one SQLite file."""
