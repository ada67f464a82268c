"""The WebSocket routes."""

from typing import Any, cast

from django.urls import path

from jobs.live.consumers import EventsConsumer

websocket_urlpatterns: list[Any] = [path("ws/events/", cast("Any", EventsConsumer.as_asgi()))]
