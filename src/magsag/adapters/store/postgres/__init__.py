"""The Postgres store: one schema of a database, for any number of processes on any number of machines."""
