"""Processes of acts, by what a machine can enforce: bubblewrap, Landlock, or limits alone."""
