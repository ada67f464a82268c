"""Backups, restoring them, and the recovery of a damaged database."""
