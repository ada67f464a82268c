"""Presets over REST: parameters with a name, alone and as a document to pass on."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.models import Preset
from jobs.services import presets, undo
from mobilesd.errors import NotFound, bad_field
from mobilesd.http.paging import PageRequest, paginate
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["ExportV2", "ImportV2", "PresetV2", "PresetsV2"]

READ, WRITE = "jobs:read", "jobs:write"


def emit_preset(preset: Preset, actor: Actor) -> dict[str, Any]:
    """Return a preset as the API tells it."""
    return {
        "id": str(preset.pk),
        "name": preset.name,
        "description": preset.description,
        "app_type": preset.app_type,
        "generation_params": preset.generation_params,
        "shared": preset.shared,
        "owner": preset.owner.get_username() if preset.owner else None,
        "may_change": presets.may_change(preset, actor),
        "created_at": rfc3339(preset.created_at),
        "updated_at": rfc3339(preset.updated_at),
    }


class PresetsV2(ApiView):
    """List the presets that you may use, newest first, or save one."""

    required_scopes = {"GET": READ, "POST": WRITE}

    def get(self, request: Request) -> Response:
        actor = Actor.of_request(request)
        rows = presets.visible(actor).select_related("owner")
        page = paginate(rows, PageRequest.read(request.query_params))
        shown = [emit_preset(row, actor) for row in page.rows]
        return Response({"success": True, **page.counts(), "presets": shown})

    def post(self, request: Request) -> Response:
        actor = Actor.of_request(request)
        preset = presets.create(actor, _with_job(json_object(request), actor))
        told = emit_preset(preset, actor)
        return Response({"success": True, "message": "Saved.", "preset": told}, status=201)


class PresetV2(ApiView):
    """Show, change or delete a preset."""

    required_scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    def get(self, request: Request, preset_id: UUID) -> Response:
        actor = Actor.of_request(request)
        return Response(
            {"success": True, "preset": emit_preset(presets.find(preset_id, actor), actor)}
        )

    def patch(self, request: Request, preset_id: UUID) -> Response:
        actor = Actor.of_request(request)
        presets.find(preset_id, actor)  # who may not see it learns nothing from the body's faults
        preset = presets.change(preset_id, actor, json_object(request))
        told = emit_preset(preset, actor)
        return Response({"success": True, "message": "Changed.", "preset": told})

    def delete(self, request: Request, preset_id: UUID) -> Response:
        row = presets.delete(preset_id, Actor.of_request(request))
        told = {"message": "The preset is deleted.", "undo": undo.shown(row)}
        return Response({"success": True, **told})


class ExportV2(ApiView):
    """Return presets as a document that POST /api/v2/presets/import takes."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        actor = Actor.of_request(request)
        return Response(presets.document(chosen(request.query_params.getlist("id"), actor)))


class ImportV2(ApiView):
    """Take in a document of presets: all of it, or nothing."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        actor = Actor.of_request(request)
        body = json_object(request)
        policy = body.pop("on_conflict", "refuse")
        if not isinstance(policy, str):
            raise bad_field("on_conflict", "must be a text.")
        done = presets.import_document(actor, body, on_conflict=policy)
        return Response(
            {
                "success": True,
                "made": [emit_preset(row, actor) for row in done.made],
                "replaced": [emit_preset(row, actor) for row in done.replaced],
                "unchanged": [emit_preset(row, actor) for row in done.unchanged],
            }
        )


def chosen(ids: list[str], actor: Actor) -> list[Preset]:
    """Return the presets of these ids, or all own ones; raise NotFound for one that is not seen."""
    if not ids:
        return list(Preset.objects.filter(owner_id=actor.user_id).order_by("name"))
    try:
        wanted = [UUID(text) for text in ids[: presets.MAX_EACH]]
    except ValueError:
        raise bad_field("id", "is no id of a preset.") from None
    found = presets.visible(actor).in_bulk(wanted)
    if missing := [str(one) for one in wanted if one not in found]:
        raise NotFound(f"There is no preset {missing[0]}.")
    return list(found.values())


def _with_job(body: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Put the parameters of the job that `job` names in their place."""
    if "job" not in body:
        return body
    if "generation_params" in body:
        raise bad_field("job", "can't be combined with generation_params. Send one of them.")
    try:
        params, app_type = presets.params_of_job(UUID(str(body.pop("job"))), actor)
    except ValueError:
        raise bad_field("job", "is no id of a job.") from None
    return {"app_type": app_type, **body, "generation_params": params}
