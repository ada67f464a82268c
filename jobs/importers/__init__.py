"""Queues of other programs, taken in as jobs (docs/importing.md)."""
