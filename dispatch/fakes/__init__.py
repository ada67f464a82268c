"""Servers that stand in for real ones, for the demo, the tests and the bench."""
