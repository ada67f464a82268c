"""The documents of the API: OpenAPI, the page that shows it, and what is generated from it.

Each app describes its own routes as plain data in `<app>/api/schema.py` (`OPERATIONS` by method
and path, `COMPONENTS` by name); the views stay free of it.
"""
