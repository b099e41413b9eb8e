"""The run as a pure state machine: `evolve`, `advance` (engine.plan) and `wanted` (engine.recovery)."""
