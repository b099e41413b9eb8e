"""The ledger as a whole: moved, archived, vacuumed, erased from, verified, carried from one to another."""
