"""What all HTTP answers share: request ids, strict JSON, the error envelope, paging, files.

A leaf: it imports no app, so that every app may use it. Import its modules, not this package:
settings name some of them, so they are loaded before Django and its REST framework are.
"""
