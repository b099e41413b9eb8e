"""What proposes steps: Python agents, flows and their branches, and the child runs they delegate to."""
