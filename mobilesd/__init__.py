"""MobileSD: send Stable Diffusion work from any device."""

from mobilesd import sqlite as _sqlite  # must come before anything can import sqlite3

__all__ = ["VERSION"]

VERSION = "0.1.0"

_sqlite.install()
