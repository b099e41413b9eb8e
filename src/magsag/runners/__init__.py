"""Who calls for legs."""
