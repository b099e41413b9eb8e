"""A step and what surrounds it: where its run sits, what it calls, what it may take, whose code it runs."""
