"""Measurements on real processes; `make bench` runs them all and prints medians and p95."""
