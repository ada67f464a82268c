"""The ASGI application: HTTP and WebSockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")

import django

django.setup(set_prefix=False)  # before anything imports models

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from mobilesd.http.handler import PooledHandler
from mobilesd.http.holding import Holding
from mobilesd.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": Holding(PooledHandler()),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
