"""What the services need of the outside, as Protocols named by the need."""
