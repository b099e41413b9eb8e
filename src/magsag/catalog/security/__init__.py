"""What of a catalog a careful person would ask about: findings of `magsag catalog lint --security`. Runs nothing."""
