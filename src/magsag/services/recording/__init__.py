"""What this process believes of its runs, and how it becomes facts: group commit, large values, leases, masks."""
