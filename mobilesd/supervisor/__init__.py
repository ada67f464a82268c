"""`manage.py up`: starts the processes of MobileSD, restarts them, and leaves none behind."""
