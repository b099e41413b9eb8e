"""What people ask of a catalog, its policies and this machine before anything runs."""
