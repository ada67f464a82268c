"""Telling people what happened, where they are: ntfy, Telegram, mail and others.

Rows of `Notice` are made from events (notices.py, fanout.py) and sent by the background cluster
(runner.py), each event at most once for each notifier.
"""
