"""Parameters with a name: saved, changed, and passed on as JSON.

A preset holds parameters of a picture, checked as those of an order are, and never a picture.
Without an owner it is the installation's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apikeys.actors import Actor
from jobs import inputs
from jobs.models import Preset, Undo
from jobs.params import normalise
from jobs.ports import ports
from jobs.services import undo
from jobs.services.changes import find as find_job
from jobs.services.kept import keep
from mobilesd.errors import Conflict, InvalidInput, NotFound, Problem, bad_field
from mobilesd.sqlite import write_turn

__all__ = [
    "MAX_EACH",
    "ON_CONFLICT",
    "Imported",
    "change",
    "changeable",
    "create",
    "delete",
    "document",
    "find",
    "import_document",
    "may_change",
    "params_of_job",
    "visible",
]

MAX_EACH = 500  # of one owner: a list that a phone can still show
MAX_PARAMS_BYTES = 64 * 1024
MAX_NAME = 100
MAX_DESCRIPTION = 500
ON_CONFLICT = ("refuse", "rename", "replace")
FORMAT = "presets"
VERSION = 1
_PICTURES = ("init_images", "mask")
_DRAWN = ("seed", "subseed")
_FIELDS = ("name", "description", "app_type", "generation_params", "shared")


@dataclass(frozen=True)
class Imported:
    """What became of a document: names that were made, changed, and there already."""

    made: Sequence[Preset]
    replaced: Sequence[Preset]
    unchanged: Sequence[Preset]


def visible(actor: Actor) -> QuerySet[Preset]:
    """Return what an actor may use: the own presets, the shared ones, the installation's."""
    if actor.sees_all_jobs:
        return Preset.objects.all()
    return Preset.objects.filter(Q(owner_id=actor.user_id) | Q(shared=True) | Q(owner__isnull=True))


def may_change(preset: Preset, actor: Actor) -> bool:
    """Tell whether an actor may change a preset that it sees."""
    return actor.sees_all_jobs or preset.owner_id == actor.user_id


def find(preset_id: UUID, actor: Actor) -> Preset:
    """Return a preset that the actor may see; raise NotFound."""
    preset = visible(actor).filter(pk=preset_id).first()
    if preset is None:
        raise NotFound("There is no such preset.", hint="GET /api/v2/presets lists them.")
    return preset


def params_of_job(job_id: UUID, actor: Actor) -> tuple[dict[str, Any], str]:
    """Return parameters and app type of a job, without its pictures and seed; raise NotFound."""
    job = find_job(job_id, actor)
    left = {
        *_PICTURES,
        *_DRAWN,
        "denoising_strength" if "init_images" in job.generation_params else "",
    }
    params = {
        name: value
        for name, value in job.generation_params.items()
        if name not in left and not inputs.holds_file(value)
    }
    return params, job.app_type


def create(actor: Actor, given: Mapping[str, Any]) -> Preset:
    """Save a preset of `name`, `generation_params`, and `description`, `app_type`, `shared`.

    Raises InvalidInput that names the field, Conflict (`already_exists`, `limit_reached`), Problem
    (`app_type_not_allowed`).
    """
    for needed in ("name", "generation_params"):
        if needed not in given:
            raise bad_field(needed, "is missing.", error="missing_required_field")
    values = _checked(given, actor, app_type=settings.DEFAULT_APP_TYPE)
    with transaction.atomic():
        return _insert(actor, values)


def change(
    preset_id: UUID,
    actor: Actor,
    given: Mapping[str, Any],
    *,
    unchanged_since: datetime | None = None,
) -> Preset:
    """Change what is named; the parameters are replaced as a whole. Raises what `create` does.

    Raises Conflict as well if it was changed after `unchanged_since`.
    """
    if not given:
        raise bad_field("name", "or another field is missing.", error="missing_required_field")
    preset = changeable(preset_id, actor)
    values = _checked(given, actor, app_type=preset.app_type)
    if "app_type" in values and "generation_params" not in values:
        # What is known of a parameter depends on the app type.
        again = {**values, "generation_params": preset.generation_params}
        values = _checked(again, actor, app_type=preset.app_type)
    try:
        with transaction.atomic():
            row = Preset.objects.filter(pk=preset.pk)
            if unchanged_since is not None:
                row = row.filter(updated_at=unchanged_since)
            won = row.update(**values, updated_at=timezone.now())
    except IntegrityError:
        raise _taken(values["name"]) from None
    if not won:
        raise Conflict(
            "Somebody changed or deleted this preset meanwhile.",
            hint="Open it again, and make your change in what is there now.",
        )
    return find(preset_id, actor)


def delete(preset_id: UUID, actor: Actor) -> Undo:
    """Delete a preset; jobs made with it stay as they are. Raises NotFound, Problem."""
    with write_turn(), transaction.atomic():
        rows = Preset.objects.filter(pk=changeable(preset_id, actor).pk)
        # Locked: kept as it is when it goes. Else somebody deleted it meanwhile, which `find` says.
        preset = rows.select_for_update().first() or find(preset_id, actor)
        row = undo.remember(actor, "delete_preset", {"preset": keep([preset])})
        preset.delete()
    return row


# --- As JSON ------------------------------------------------------------------------------


def document(presets: Iterable[Preset]) -> dict[str, Any]:
    """Return presets as others can import them: nothing of whose they are, no ids."""
    return {
        "mobilesd": FORMAT,
        "version": VERSION,
        "presets": [
            {
                "name": preset.name,
                "description": preset.description,
                "app_type": preset.app_type,
                "generation_params": preset.generation_params,
            }
            for preset in presets
        ],
    }


def import_document(actor: Actor, given: Any, *, on_conflict: str = "refuse") -> Imported:
    """Take in all presets of a document, or none; what is there already is left as it is.

    A name that is there with another content is refused, or gets a number behind its name
    (`rename`), or is replaced (`replace`). Raises InvalidInput that says which preset, Conflict.
    """
    if on_conflict not in ON_CONFLICT:
        raise bad_field("on_conflict", f"must be one of {', '.join(ON_CONFLICT)}.")
    wanted = [
        _checked_entry(entry, number, actor) for number, entry in enumerate(_entries(given), 1)
    ]
    _refuse_doubles(wanted)
    with transaction.atomic():
        mine = {row.name: row for row in Preset.objects.filter(owner_id=actor.user_id)}
        clash = [v["name"] for v in wanted if v["name"] in mine and not _same(mine[v["name"]], v)]
        if clash and on_conflict == "refuse":
            raise _clash(clash)
        return _take_in(actor, wanted, mine, on_conflict)


def _take_in(
    actor: Actor, wanted: list[dict[str, Any]], mine: dict[str, Preset], on_conflict: str
) -> Imported:
    made, replaced, unchanged = [], [], []
    for values in wanted:
        row = mine.get(values["name"])
        if row is None:
            row = _insert(actor, values)
            made.append(row)
        elif _same(row, values):
            unchanged.append(row)
        elif on_conflict == "replace":
            Preset.objects.filter(pk=row.pk).update(**values, updated_at=timezone.now())
            row.refresh_from_db()
            replaced.append(row)
        elif earlier := _numbered(values, mine):
            unchanged.append(earlier)
        else:
            row = _insert(actor, {**values, "name": _free_name(values["name"], mine)})
            made.append(row)
        mine[row.name] = row
    return Imported(made, replaced, unchanged)


def _entries(given: Any) -> list[Any]:
    if not isinstance(given, Mapping) or given.get("mobilesd") != FORMAT:
        raise InvalidInput(
            "This is no file of presets: it does not begin with"
            f' {{"mobilesd": "{FORMAT}", "version": {VERSION}}}.',
            fields={"mobilesd": [f'must be "{FORMAT}".']},
            hint="Choose a file that MobileSD saved on its page of presets.",
        )
    if type(given.get("version")) is not int or not 1 <= given["version"] <= VERSION:
        raise bad_field(
            "version",
            f"must be {VERSION}: this MobileSD reads no other.",
            "Update MobileSD, or export the presets again.",
        )
    entries = given.get("presets")
    if not isinstance(entries, list) or not entries:
        raise bad_field("presets", "must be a list with at least one preset.")
    if len(entries) > MAX_EACH:
        raise bad_field("presets", f"has {len(entries)} presets. The limit is {MAX_EACH}.")
    return entries


def _checked_entry(entry: Any, number: int, actor: Actor) -> dict[str, Any]:
    where = f"presets.{number - 1}"
    if not isinstance(entry, Mapping):
        raise bad_field(where, "must be an object.")
    shown = str(entry.get("name", ""))[:60]
    try:
        given = {name: entry[name] for name in entry if name != "shared"}
        for needed in ("name", "generation_params"):
            if needed not in given:
                raise bad_field(needed, "is missing.", error="missing_required_field")
        return {"description": "", **_checked(given, actor, app_type=settings.DEFAULT_APP_TYPE)}
    except InvalidInput as problem:
        raise InvalidInput(
            f"Preset {number} ({shown!r}) can't be taken: {problem.message}",
            error=problem.error,
            fields={f"{where}.{name}": texts for name, texts in problem.fields.items()},
            hint="Correct the file; nothing of it was taken.",
        ) from None


def _refuse_doubles(wanted: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for values in wanted:
        if values["name"] in seen:
            raise bad_field("presets", f"has two presets named {values['name'][:60]!r}.")
        seen.add(values["name"])


def _same(row: Preset, values: Mapping[str, Any]) -> bool:
    return (
        row.app_type == values["app_type"]
        and row.description == values["description"]
        and _canonical(row.generation_params) == _canonical(values["generation_params"])
    )


def _canonical(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _numbered(values: Mapping[str, Any], mine: Mapping[str, Preset]) -> Preset | None:
    """Return what an earlier import of the same preset had to rename."""
    start = f"{values['name'][: MAX_NAME - 6]} ("
    same = (row for name, row in mine.items() if name.startswith(start) and _same(row, values))
    return next(same, None)


def _free_name(name: str, mine: Mapping[str, Preset]) -> str:
    numbers = range(2, MAX_EACH + 3)
    return next(n for k in numbers if (n := f"{name[: MAX_NAME - 6]} ({k})") not in mine)


def _clash(names: list[str]) -> Conflict:
    shown = ", ".join(repr(name[:60]) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Conflict(
        f"You have presets of these names with another content: {shown}{more}.",
        error="already_exists",
        hint='Import with on_conflict "rename" to keep both, or "replace" to take the new ones.',
        fields={"presets": ["has names that are there with another content."]},
        extra={"names": names[:100]},
    )


# --- Checks and rows ----------------------------------------------------------------------


def _checked(given: Mapping[str, Any], actor: Actor, *, app_type: str) -> dict[str, Any]:
    """Return the columns of what is given; raise InvalidInput that names the field."""
    for name in given:
        if name not in _FIELDS:
            raise bad_field(
                str(name)[:60],
                "is not a field of a preset.",
                f"The fields are: {', '.join(_FIELDS)}.",
                error="unsupported_parameter",
            )
    values: dict[str, Any] = {}
    if "name" in given:
        values["name"] = _text(given, "name", MAX_NAME)
        if not values["name"]:
            raise bad_field("name", "is empty.", "Give the preset a name.")
    if "description" in given:
        values["description"] = _text(given, "description", MAX_DESCRIPTION)
    if "shared" in given:
        if not isinstance(given["shared"], bool):
            raise bad_field("shared", "must be true or false.")
        values["shared"] = given["shared"]
    if "app_type" in given:
        app_type = _text(given, "app_type", 32) or app_type
        known = ports.servers.app_types()
        if app_type not in known:
            raise bad_field("app_type", f"must be one of {', '.join(known)}, not {app_type!r}.")
    if "app_type" in given or "generation_params" in given:
        actor.require_app_type(app_type)
        values["app_type"] = app_type
    if "generation_params" in given:
        values["generation_params"] = _params(given["generation_params"], app_type)
    return values


def _text(given: Mapping[str, Any], name: str, longest: int) -> str:
    value = given[name]
    if not isinstance(value, str):
        raise bad_field(name, "must be a text.")
    value = value.strip()
    if len(value) > longest:
        raise bad_field(name, f"is longer than {longest} characters.")
    if "\x00" in value:
        raise bad_field(name, "holds a character that no text can hold (U+0000).")
    return value


def _params(given: Any, app_type: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise bad_field("generation_params", "must be an object.")
    for name in _PICTURES:
        if given.get(name):
            raise bad_field(
                f"generation_params.{name}",
                "is a picture, and a preset holds none.",
                "Leave it out. Choose the picture when you use the preset.",
            )
    params = normalise(given, app_type=app_type).params
    for name in _DRAWN:  # the check draws a seed; a preset has one only if it was given
        if given.get(name) in (None, -1, "-1"):
            params.pop(name, None)
    if len(json.dumps(params)) > MAX_PARAMS_BYTES or inputs.holds_file(params):
        raise bad_field(
            "generation_params",
            f"has more than {MAX_PARAMS_BYTES // 1024} kB. A preset holds no pictures.",
            "Leave the pictures in it out.",
            error="payload_too_large",
        )
    return params


def _insert(actor: Actor, values: Mapping[str, Any]) -> Preset:
    if Preset.objects.filter(owner_id=actor.user_id).count() >= MAX_EACH:
        raise Conflict(
            f"You have {MAX_EACH} presets, which is the limit.",
            error="limit_reached",
            hint="Delete one that is not needed.",
        )
    now = timezone.now()
    try:
        with transaction.atomic():
            return Preset.objects.create(
                owner_id=actor.user_id, **values, created_at=now, updated_at=now
            )
    except IntegrityError:
        raise _taken(values["name"]) from None


def _taken(name: str) -> Conflict:
    message = f"You have a preset named {name[:60]!r} already."
    return Conflict(
        message,
        error="already_exists",
        fields={"name": [message]},
        hint="Choose another name, or change that preset.",
    )


def changeable(preset_id: UUID, actor: Actor) -> Preset:
    """Return a preset that the actor may change; raise NotFound, Problem (`preset_not_yours`)."""
    preset = find(preset_id, actor)
    if not may_change(preset, actor):
        raise Problem(
            "This preset is somebody else's. You can use it, and save a copy of your own.",
            error="preset_not_yours",
        )
    return preset
