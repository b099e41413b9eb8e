"""What people decide: who they are, approvals, doubts, caps."""
