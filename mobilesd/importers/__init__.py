"""Installations of other programs, taken over with their servers and pictures."""
