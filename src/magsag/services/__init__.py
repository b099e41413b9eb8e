"""Carries out what the engine wants: drives runs, asks the gate, records facts, reads them back."""
