"""`manage.py doctor`: looks at everything that can be wrong, and says what to do about it."""
