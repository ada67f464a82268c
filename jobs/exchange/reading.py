"""Reading a file of waiting jobs: a JSON document, or JSON lines.

Nothing in it is trusted: types are checked here, meanings by what checks every order.
"""

import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.utils import timezone

from jobs import encoded, inputs
from jobs.exchange.export import FORMAT, LINES, VERSION
from jobs.exchange.intake import Incoming
from jobs.models import Batch, OnFailure
from jobs.services.orders import Order
from mobilesd.errors import InvalidInput, bad_field
from mobilesd.http.codec import decode
from mobilesd.http.times import read_moment

__all__ = ["Reading", "read_document", "read_lines"]

MAX_DEPENDENCIES = 100


class Reading:
    """The records of a file: files go to the disk, batches are kept, jobs are yielded."""

    def __init__(self) -> None:
        self.batches: dict[UUID, Batch] = {}
        self.expired: list[str] = []
        self._files: set[str] = set()

    def document(self, body: Any) -> Iterator[Incoming]:
        """Yield the jobs of a parsed document."""
        _check_header(body, FORMAT)
        for name in ("files", "batches", "jobs"):
            value = body.get(name)
            if not isinstance(value, list) and (name == "jobs" or value is not None):
                raise bad_field(name, "must be a list.")
        for number, entry in enumerate(body.get("files") or ()):
            self._take_file(entry, f"files.{number}")
        for number, entry in enumerate(body.get("batches") or ()):
            self._take_batch(entry, f"batches.{number}")
        for number, entry in enumerate(body["jobs"]):
            yield from self._job(entry, f"jobs.{number}")

    def lines(self, lines: Iterable[bytes]) -> Iterator[Incoming]:
        """Yield the jobs of JSON lines; a file that was cut off is refused at its end."""
        ended = False
        number = 0
        for number, line in enumerate(lines, start=1):
            where = f"line {number}"
            record = _parsed(line, where)
            if number == 1:
                _check_header(record, LINES)
            elif ended:
                raise InvalidInput(f"{where} comes after the end of the file.")
            elif not isinstance(record, dict) or len(record) != 1:
                raise InvalidInput(f"{where} is no record: it must be an object of one name.")
            elif "file" in record:
                self._take_file(record["file"], where)
            elif "batch" in record:
                self._take_batch(record["batch"], where)
            elif "job" in record:
                yield from self._job(record["job"], where)
            elif "end" in record:
                ended = True
            else:
                raise InvalidInput(f"{where} is of an unknown kind: {next(iter(record))[:40]!r}.")
        if not number:
            raise InvalidInput("The file is empty.")
        if not ended:
            raise InvalidInput(
                f"The file is cut off after line {number}: its end is missing.",
                hint="Export the queue again, or copy the file again. Nothing was taken.",
            )

    def _take_file(self, entry: Any, where: str) -> None:
        given = _object(entry, where)
        sha256, text = given.get("sha256"), given.get("base64")
        if not isinstance(sha256, str) or not isinstance(text, str):
            raise bad_field(where, "must have sha256 and base64, both texts.")
        try:
            content = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except ValueError:
            raise bad_field(f"{where}.base64", "is no base64.") from None
        if len(content) > inputs.MAX_INPUT_BYTES:
            raise bad_field(where, "has more than 64 MB.", error="payload_too_large")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise bad_field(
                f"{where}.sha256", "does not fit the bytes: the file was damaged or changed."
            )
        # Nothing names it yet: if the import fails, the collector takes it after an hour.
        with inputs.disk_trouble():
            inputs.input_store().put(content)
        self._files.add(sha256)

    def _take_batch(self, entry: Any, where: str) -> None:
        given = _object(entry, where)
        run_first = given.get("run_first")
        if run_first is not None and (type(run_first) is not int or not 0 < run_first <= 100_000):
            raise bad_field(f"{where}.run_first", "must be a number from 1 to 100000, or null.")
        self.batches[_id(given, "id", where)] = Batch(
            name=_text(given, "name", where, 200),
            seed_variation=_text(given, "seed_variation", where, 16),
            run_first=run_first,
            nodded_at=timezone.now() if given.get("nodded") is True else None,
        )

    def _job(self, entry: Any, where: str) -> Iterator[Incoming]:
        given = _object(entry, where)
        params = given.get("generation_params")
        if not isinstance(params, dict):
            raise bad_field(f"{where}.generation_params", "must be an object.")
        order = Order(
            generation_params=self._restored(params, where),
            app_type=_text(given, "app_type", where, 32),
            target_server_alias=_text(given, "target_server_alias", where, 64),
            source_info=_text(given, "source_info", where, 200),
            priority=_priority(given, where),
            lane=_text(given, "lane", where, 16) or "interactive",
            not_before=_moment(given, "not_before", where),
            deadline=_moment(given, "deadline", where),
        )
        origin = _id(given, "id", where)
        if order.deadline is not None and order.deadline <= timezone.now():
            self.expired.append(f"{where}: the job {origin} is left out, its deadline has passed.")
            return
        batch = _id(given, "batch", where) if given.get("batch") is not None else None
        if batch is not None and batch not in self.batches:
            raise bad_field(f"{where}.batch", "names a batch that the file does not have.")
        yield Incoming(
            where=where,
            origin=origin,
            order=order,
            depends_on=_dependencies(given, where),
            batch=batch,
            held=given.get("held") is True,
        )

    def _restored(self, value: Any, where: str) -> Any:
        """Put the pictures back into the parameters, as they were sent."""
        if isinstance(value, Mapping):
            if inputs.MARK in value:
                return self._picture(value, where)
            return {name: self._restored(inner, where) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._restored(inner, where) for inner in value]
        return value

    def _picture(self, mark: Mapping[str, Any], where: str) -> str:
        sha256, form, mime = (mark.get(name) for name in (inputs.MARK, "form", "mime"))
        texts = all(isinstance(text, str) for text in (sha256, form, mime))
        if not texts or form not in ("base64", "data-url", "text") or len(str(mime)) > 64:
            raise bad_field(
                f"{where}.generation_params", f"has a {inputs.MARK} that is no picture."
            )
        if sha256 not in self._files:
            raise bad_field(
                f"{where}.generation_params",
                f"names the picture {str(sha256)[:12]}, which the file does not have.",
            )
        try:
            return _encoded(str(form), str(mime), str(sha256))
        except ValueError:
            raise bad_field(f"{where}.generation_params", "has a broken picture.") from None


@lru_cache(maxsize=2)
def _encoded(form: str, mime: str, sha256: str) -> str:
    return encoded.encode(form, mime, inputs.input_store().read(sha256))


def read_document(body: Any) -> tuple[Reading, Iterator[Incoming]]:
    """Return a reading of a parsed document, and its jobs."""
    reading = Reading()
    return reading, reading.document(body)


def read_lines(lines: Iterable[bytes]) -> tuple[Reading, Iterator[Incoming]]:
    """Return a reading of JSON lines, and its jobs."""
    reading = Reading()
    return reading, reading.lines(lines)


# --- Values -------------------------------------------------------------------------------


def _parsed(line: bytes, where: str) -> Any:
    try:
        return decode(line)
    except InvalidInput as problem:
        raise InvalidInput(
            f"{where}: {problem.message}", error="invalid_json", hint="Nothing was taken."
        ) from None


def _check_header(given: Any, form: str) -> None:
    if not isinstance(given, dict) or given.get("mobilesd") != form:
        raise InvalidInput(
            f'This is no file of a queue: it must begin with {{"mobilesd": "{form}", …}}.',
            fields={"mobilesd": [f'must be "{form}".']},
            hint="Choose a file that MobileSD's export of the queue has written.",
        )
    if type(given.get("version")) is not int or given["version"] != VERSION:
        raise bad_field(
            "version", f"must be {VERSION}: this MobileSD reads no other.", "Update MobileSD."
        )


def _object(entry: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise bad_field(where, "must be an object.")
    return entry


def _text(given: Mapping[str, Any], name: str, where: str, longest: int) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        raise bad_field(f"{where}.{name}", f"must be a text of at most {longest} characters.")
    return value


def _id(given: Mapping[str, Any], name: str, where: str) -> UUID:
    try:
        return UUID(str(given.get(name)))
    except ValueError:
        raise bad_field(f"{where}.{name}", "must be an id (UUID).") from None


def _priority(given: Mapping[str, Any], where: str) -> int:
    value = given.get("priority", 5)
    if type(value) is not int:
        raise bad_field(f"{where}.priority", "must be a whole number.")
    return value


def _moment(given: Mapping[str, Any], name: str, where: str) -> datetime | None:
    text = _text(given, name, where, 64)
    return read_moment(f"{where}.{name}", text) if text else None


def _dependencies(given: Mapping[str, Any], where: str) -> list[tuple[UUID, str]]:
    value = given.get("depends_on")
    value = [] if value is None else value
    if not isinstance(value, list) or len(value) > MAX_DEPENDENCIES:
        raise bad_field(f"{where}.depends_on", f"must be a list of at most {MAX_DEPENDENCIES}.")
    found: dict[UUID, str] = {}
    for number, entry in enumerate(value):
        place = f"{where}.depends_on.{number}"
        on_failure = _object(entry, place).get("on_failure", OnFailure.CANCEL)
        if on_failure not in OnFailure.values:
            raise bad_field(f"{place}.on_failure", f"must be {' or '.join(OnFailure.values)}.")
        found[_id(entry, "job", place)] = on_failure
    return list(found.items())
