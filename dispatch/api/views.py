"""Servers over REST: v1 for the page and old clients, v2 for programs."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from dispatch import services
from dispatch.api.fields import read_fields, unknown_fields
from dispatch.api.serializers import emit_server, emit_servers
from dispatch.models import Server
from jobs.hours import OPENING_FIELDS
from jobs.services import undo
from mobilesd.errors import bad_field
from mobilesd.http.views import ApiView, json_object

__all__ = ["ServerV1", "ServerV2", "ServersV1", "ServersV2"]

READ = "servers:read"
CHANGE = "admin"
_LATER = ("paused", "interrupt", "wake_mac", "wake_seconds", "yield_below_mb", *OPENING_FIELDS)


def _changed(message: str, server: Server, body: dict[str, Any]) -> dict[str, Any]:
    warnings = unknown_fields(body)
    return {
        "message": message,
        "server": emit_server(server),
        **({"warnings": warnings} if warnings else {}),
    }


def _edit(alias: str, body: dict[str, Any]) -> Server:
    fields = read_fields(body)
    if fields.pop("alias", alias) != alias:
        raise bad_field(
            "alias",
            "can't be changed: jobs name the server by it.",
            "Add a server with the new alias, and delete this one.",
        )
    return services.edit_server(alias, fields)


class ServersV1(ApiView):
    """List the servers as a bare array, or add one."""

    required_scopes = {"GET": READ, "POST": CHANGE}

    def get(self, request: Request) -> Response:
        return Response([emit_server(server) for server in Server.objects.order_by("alias")])

    def post(self, request: Request) -> Response:
        body = json_object(request)
        fields = read_fields(body)
        if "alias" not in fields:
            raise bad_field("alias", "is missing.", error="missing_required_field")
        fields.setdefault("url", "")  # refused there, with an example
        for name in _LATER:
            if name in fields:
                raise bad_field(name, "can be set once the server is there.", "Send it by PUT.")
        server = services.add_server(**fields)
        return Response(_changed("The server is added.", server, body), status=201)


class ServerV1(ApiView):
    """Show, change or remove one server; PUT keeps what it does not name."""

    required_scopes = {"GET": READ, "PUT": CHANGE, "DELETE": CHANGE}

    def get(self, request: Request, alias: str) -> Response:
        return Response(emit_server(services.find_server(alias)))

    def put(self, request: Request, alias: str) -> Response:
        body = json_object(request)
        server = _edit(alias, body)
        return Response(_changed("The server is changed.", server, body))

    def delete(self, request: Request, alias: str) -> Response:
        row = services.delete_server(alias, Actor.of_request(request))
        words = "The server is deleted. Jobs that name it stay."
        return Response({"message": words, "undo": undo.shown(row)})


class ServersV2(ApiView):
    """List the servers with what they are doing."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        servers = list(Server.objects.order_by("alias"))
        return Response({"success": True, "servers": emit_servers(servers)})


class ServerV2(ApiView):
    """Show one server with what it is doing, or change what the body names."""

    required_scopes = {"GET": READ, "PATCH": CHANGE}

    def get(self, request: Request, alias: str) -> Response:
        return Response(_state(services.find_server(alias)))

    def patch(self, request: Request, alias: str) -> Response:
        body = json_object(request)
        changed = _state(_edit(alias, body))
        warnings = unknown_fields(body)
        return Response({**changed, **({"warnings": warnings} if warnings else {})})


def _state(server: Server) -> dict[str, Any]:
    return {"success": True, "server": emit_servers([server])[0]}
