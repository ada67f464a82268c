"""API routes of keys: none yet; `create_api_key` and the admin make them."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
