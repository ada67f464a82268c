"""Taking over an installation of StableQueue: its servers, jobs and pictures.

Its layout, as recorded: `data/mobilesd_jobs.sqlite` (table `jobs`), `data/servers.json`, and a
folder of pictures, which the jobs name in `result_details_json`. A picture's name begins with the
first eight letters of its job's id; previews begin with "preview_". API keys are not taken over:
what is stored of them can't be used here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from django.utils.text import slugify

from apikeys.actors import Actor
from dispatch import services as servers
from dispatch.models import Server
from jobs.choices import FINAL, Status
from jobs.exchange import Incoming, Intake, Past, Taken
from jobs.importers.foreign import columns_of, copied, rows_of
from jobs.infotext.order import with_infotext
from jobs.services.orders import Order
from mobilesd.errors import InvalidInput, Problem
from mobilesd.http.codec import decode
from mobilesd.importers.pictures import FoundPicture, PictureImport, read_file

__all__ = ["Report", "StableQueue"]

SOURCE = "stablequeue"
_DATABASE = "mobilesd_jobs.sqlite"
_SERVERS = "servers.json"
_COLUMNS = (
    "mobilesd_job_id",
    "status",
    "creation_timestamp",
    "completion_timestamp",
    "target_server_alias",
    "generation_params_json",
    "result_details_json",
    "app_type",
)
_NEEDED = {"mobilesd_job_id", "status", "creation_timestamp", "generation_params_json"}
_MAX_SERVERS_FILE = 4 * 1024 * 1024
# What it kept beside the parameters of the picture.
_OWN = {"app_type", "type", "tab_id", "source_url", "send_images", "save_images"}


@dataclass
class Report:
    """What became of the installation."""

    servers: list[str] = field(default_factory=list)
    servers_here: list[str] = field(default_factory=list)
    taken: Taken = field(default_factory=Taken)
    pictures: int = 0
    pictures_here: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Result:
    """What a job of its has to show."""

    alias: str
    pictures: Sequence[str]


class StableQueue:
    """One installation in a folder; `pictures` is where its pictures are, if not in `outputs`."""

    def __init__(self, folder: Path, actor: Actor, pictures: Path | None = None) -> None:
        data = folder / "data"
        self._data = data if (data / _DATABASE).exists() or (data / _SERVERS).exists() else folder
        self._pictures = pictures or folder / "outputs"
        self._actor = actor
        self._aliases: dict[str, str] = {}  # its names -> ours
        self._results: dict[UUID, _Result] = {}
        self.report = Report()
        known = [self._data / _DATABASE, self._data / _SERVERS]
        if not any(file.is_file() for file in known):
            raise InvalidInput(
                f"{folder} is no folder of StableQueue: it has neither {_DATABASE} nor {_SERVERS}.",
                hint="Name the folder that it was installed into, or its folder data.",
            )

    def take(self, *, dry_run: bool = False) -> Report:
        """Take over everything that is not here yet; raise Problem, OSError.

        In steps that can be repeated: servers, then all jobs at once, then picture by picture.
        """
        self._take_servers(dry_run=dry_run)
        if (self._data / _DATABASE).is_file():
            intake = Intake(self._actor, lenient=True)
            self.report.taken = intake.take(self._jobs(), dry_run=dry_run)
        self._take_pictures(dry_run=dry_run)
        return self.report

    # --- Servers --------------------------------------------------------------------------

    def _take_servers(self, *, dry_run: bool) -> None:
        file = self._data / _SERVERS
        if not file.is_file():
            return
        entries = decode(read_file(file, _MAX_SERVERS_FILE))
        if not isinstance(entries, list):
            raise InvalidInput(f"{_SERVERS} is no list of servers.")
        for entry in entries[:1000]:
            try:
                self._take_server(entry, dry_run=dry_run)
            except Problem as problem:
                name = entry.get("alias") if isinstance(entry, Mapping) else entry
                self.report.left_out.append(
                    f"The server {str(name)[:60]!r} can't be taken: {problem.message}"
                )

    def _take_server(self, entry: Any, *, dry_run: bool) -> None:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("alias"), str):
            raise InvalidInput("it has no name.")
        theirs, url = entry["alias"], entry.get("apiUrl")
        if not isinstance(url, str):
            raise InvalidInput("it has no address.")
        alias = slugify(theirs.replace("_", "-"))[:64] or "server"
        self._aliases[theirs] = alias
        there = Server.objects.filter(url=url.strip().rstrip("/"), demo=False).first()
        there = there or Server.objects.filter(alias__iexact=alias).first()
        if there is not None:
            self._aliases[theirs] = there.alias
            self.report.servers_here.append(there.alias)
            return
        username, password = _sign_in(entry)
        if not dry_run:
            # Not before somebody has looked: its jobs would start at once, on a server that the
            # old program may still be driving.
            servers.add_server(
                alias=alias,
                url=url,
                username=username,
                password=password,
                description="Taken over from StableQueue.",
                enabled=False,
            )
        self.report.servers.append(alias)

    # --- Jobs -----------------------------------------------------------------------------

    def _jobs(self) -> Iterator[Incoming]:
        with copied(self._data / _DATABASE) as connection:
            if not columns_of(connection, "jobs") >= _NEEDED:
                raise InvalidInput(f"{_DATABASE} has no table of jobs that is known.")
            order = "creation_timestamp, mobilesd_job_id"
            for row in rows_of(connection, "jobs", _COLUMNS, order):
                yield from self._job(row)

    def _job(self, row: Mapping[str, Any]) -> Iterator[Incoming]:
        where = f"The job {str(row['mobilesd_job_id'])[:40]}"
        try:
            origin = UUID(str(row["mobilesd_job_id"]))
            params, warnings = _params(row["generation_params_json"])
            past = self._past(row, origin)
        except (InvalidInput, ValueError) as error:
            why = error.message if isinstance(error, InvalidInput) else "its id is no UUID."
            self.report.taken.refused.append(f"{where} can't be taken: {why}")
            self.report.left_out.append(f"{where} can't be taken: {why}")
            return
        yield Incoming(
            where=where,
            origin=origin,
            order=Order(
                generation_params=params,
                target_server_alias="" if past else self._alias(row),
                source_info=SOURCE,
                warnings=tuple(warnings),
            ),
            past=past,
        )

    def _alias(self, row: Mapping[str, Any]) -> str:
        theirs = str(row["target_server_alias"] or "")
        return self._aliases.get(theirs, theirs)[:64]

    def _past(self, row: Mapping[str, Any], origin: UUID) -> Past | None:
        """Return how the job ended; None if it has yet to be made."""
        status = str(row["status"])
        if status in (Status.PENDING, Status.PROCESSING):
            return None
        if status not in FINAL:
            raise InvalidInput(f"its status {status[:20]!r} is not known.")
        details = _object(row["result_details_json"])
        alias = self._alias(row)
        if status == Status.COMPLETED:
            self._results[origin] = _Result(alias, _names(details))
        error = details.get("error_message") or details.get("error") or ""
        return Past(
            status=status,
            created_at=_moment(row["creation_timestamp"]),
            finished_at=_moment(row["completion_timestamp"] or row["creation_timestamp"]),
            server_alias=alias,
            error_message=str(error)[:2000].replace("\x00", ""),
        )

    # --- Pictures -------------------------------------------------------------------------

    def _take_pictures(self, *, dry_run: bool) -> None:
        if not self._pictures.is_dir():
            if self._results:
                self.report.left_out.append(
                    f"There is no folder {self._pictures}: name the folder of pictures"
                    " (--pictures)."
                )
            return
        pictures = PictureImport(self._actor, self._pictures, dry_run=dry_run)
        for found in self._found():
            pictures.take(found)
        self.report.pictures, self.report.pictures_here = pictures.made, pictures.here
        self.report.left_out += pictures.left_out

    def _found(self) -> Iterator[FoundPicture]:
        """Yield the pictures that jobs name, in order, then the others."""
        named: set[str] = set()
        by_prefix: dict[str, UUID] = {}
        for job_id, result in self._results.items():
            by_prefix[str(job_id)[:8]] = job_id
            for name in result.pictures:
                named.add(name)
                yield FoundPicture(name, job_id, result.alias)
        for file in sorted(self._pictures.iterdir()):
            prefix = file.name.partition("_")[0]
            if file.name in named or prefix == "preview":
                continue
            if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
                maker = by_prefix.get(prefix)
                alias = self._results[maker].alias if maker else ""
                yield FoundPicture(file.name, maker, alias)


def _sign_in(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return user and password, which three versions kept in three ways."""
    auth = entry.get("auth")
    pairs = [
        (auth.get("username"), auth.get("password")) if isinstance(auth, Mapping) else (None, None),
        (entry.get("authUser"), entry.get("authPass")),
        (entry.get("username"), entry.get("password")),
    ]
    for username, password in pairs:
        if isinstance(username, str) and username:
            return username, password if isinstance(password, str) else ""
    return "", ""


def _params(text: Any) -> tuple[dict[str, Any], Sequence[str]]:
    if not isinstance(text, str):
        raise InvalidInput("it has no parameters.")
    given = decode(text.encode())
    if not isinstance(given, dict):
        raise InvalidInput("its parameters are no object.")
    if isinstance(raw := given.get("raw_generation_info"), str):
        return with_infotext(raw, {})
    if given.get("type") in ("gradio", "gradio_raw") or "raw_payload" in given:
        raise InvalidInput("it holds a page's raw form, in which nothing has a name.")
    params = {
        name: value
        for name, value in given.items()
        if name not in _OWN and not name.startswith("_") and value is not None
    }
    if "positive_prompt" in params and params.get("prompt") == params["positive_prompt"]:
        del params["prompt"]
    if "schedule_type" in params:
        params.setdefault("scheduler", params.pop("schedule_type"))
    for old, new in (("sd_checkpoint", "checkpoint_name"), ("sampler_index", "sampler_name")):
        if old in params and new in params:
            del params[old]
    return params, ()


def _object(text: Any) -> Mapping[str, Any]:
    if not isinstance(text, str):
        return {}
    try:
        found = decode(text.encode())
    except InvalidInput:
        return {}
    return found if isinstance(found, dict) else {}


def _names(details: Mapping[str, Any]) -> list[str]:
    for name in ("saved_filenames", "images"):
        names = details.get(name)
        if isinstance(names, list) and names:
            return list(dict.fromkeys(str(one)[:255] for one in names[:64] if isinstance(one, str)))
    return []


def _moment(text: Any) -> datetime:
    try:
        moment = parse_datetime(str(text))
    except ValueError:
        moment = None
    if moment is None or not 1990 < moment.year < 2200:
        raise InvalidInput("one of its times can't be read.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
