"""Big inputs: out of the parameters into files, and back into them just before sending.

A job's row must stay small, and the same init picture of fifty jobs is stored once. In the
stored parameters a file stands as `{"$input": sha256, "mime", "bytes", "form"}`; nobody but
`take` may write such an object, or a client could read what others have sent.

A picture that another job has yet to make stands as `{"job": id, "image": n}` in init_images and
mask: `take` has made sure that the job's owner may see it (`jobs.outputs`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from apikeys.actors import Actor
from jobs import encoded
from jobs.choices import Kind, Status
from jobs.encoded import Encoded
from jobs.models import Job, JobInput
from jobs.outputs import is_binding
from jobs.pictures import MIME, inspect, sniff, verify
from jobs.ports import ports
from jobs.upscaling import factor_of, why_too_large
from mobilesd.errors import InvalidInput, Problem, Unavailable
from mobilesd.storage import ContentStore, collect, free_bytes, has_room

__all__ = [
    "MARK",
    "InputGone",
    "Known",
    "TakenFile",
    "TakenInputs",
    "are_there",
    "attach",
    "attach_all",
    "collect_inputs",
    "disk_trouble",
    "hold_again",
    "holds_file",
    "input_store",
    "reattach",
    "restore",
    "take",
]

MARK = "$input"
BIG = 4 * 1024
MAX_PARAMS_BYTES = 256 * 1024
MAX_INPUT_BYTES = 64 * 1024 * 1024
_WHERE = "generation_params"
# A long prompt of letters only would pass for base64.
_PROSE = {"positive_prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"}
_REFERENCES = ({"image_id"}, {"job"}, {"job", "image"})
_UNFINISHED = (Status.PENDING, Status.PROCESSING)


class InputGone(Exception):
    """A file that a job is made from was deleted since it ended."""


def input_store() -> ContentStore:
    """Return the store of the jobs' input files."""
    return ContentStore(settings.DATA_DIR / "inputs")


@dataclass(frozen=True)
class TakenFile:
    """A stored input; `content` reads its bytes from the request again, so none is kept twice."""

    sha256: str
    mime: str
    size: int
    content: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True)
class TakenInputs:
    """Parameters fit for a job's row, and the files that they name, each once."""

    params: dict[str, Any]
    files: Sequence[TakenFile]


@dataclass(frozen=True)
class Known:
    """Values that were taken before: as they came, and as they are stored.

    They are neither decoded nor stored again. For the job that they are stored with, both are
    the same parameters.
    """

    given: Mapping[str, Any]
    stored: Mapping[str, Any]


def take(params: Mapping[str, Any], actor: Actor, *, known: Known | None = None) -> TakenInputs:
    """Check the inputs of normalised parameters and store the big ones as files.

    References to earlier pictures are resolved as far as the actor may see them; a parameter that
    equals a `known` one is taken over as it is stored. Raises
    InvalidInput (413 for what is too much in all) before anything is written, and Unavailable
    if the disk is full.
    """
    taking = _Taking(actor, known or Known({}, {}))
    taken = taking.params(params)
    _check_size(taken)
    store = input_store()
    if taken.get("kind") == Kind.UPSCALE:
        taking.check_upscale(taken, store)
    if taking.files and not has_room():
        raise Unavailable(
            f"Only {free_bytes() // 2**20} MB are left on MobileSD's disk: no pictures are taken.",
            error="storage_low",
            retry_after=60,
        )
    with disk_trouble():
        for file in taking.files.values():
            store.put(file.content())
    return TakenInputs(taken, list(taking.files.values()))


def attach(job: Job, taken: TakenInputs) -> None:
    """Tie the files to their job, inside the transaction that inserts it (protocol rule 22).

    Raises Unavailable if the disk is full.
    """
    if not taken.files:
        return
    _keep(taken.files)
    JobInput.objects.bulk_create(
        JobInput(job=job, sha256=file.sha256, mime=file.mime, bytes=file.size)
        for file in taken.files
    )


def attach_all(jobs: Sequence[Job], files: Iterable[TakenFile]) -> None:
    """Tie the files that these new jobs name to them, each file touched once (see `attach`)."""
    _keep(files)
    JobInput.objects.bulk_create(
        [row for job in jobs for row in _rows(job.pk, job.generation_params)], batch_size=500
    )


def reattach(job_id: UUID, params: Mapping[str, Any], files: Iterable[TakenFile]) -> None:
    """Tie a job to the files that its new parameters name, and to no others (see `attach`)."""
    _keep(files)
    rows = {row.sha256: row for row in _rows(job_id, params)}
    old = JobInput.objects.filter(job=job_id)
    old.exclude(sha256__in=rows).delete()
    there = set(old.values_list("sha256", flat=True))
    JobInput.objects.bulk_create([row for sha, row in rows.items() if sha not in there])


def hold_again(jobs: Iterable[Job]) -> set[UUID]:
    """Tie jobs that are queued again to their files, inside that transaction (see `attach`).

    Once they have ended, retention may take these away, and a file that no row names is collected.
    Returns the jobs that miss a file, which are not tied to any.
    """
    rows = {
        (job.pk, row.sha256): row for job in jobs for row in _rows(job.pk, job.generation_params)
    }
    if not rows:
        return set()
    store, lost = input_store(), set()
    for sha256, row in sorted({row.sha256: row for row in rows.values()}.items()):  # as `_keep`
        try:
            store.keep(sha256, row.bytes, partial(store.read, sha256))
        except FileNotFoundError:
            lost.add(sha256)
    gone = {job_id for job_id, sha256 in rows if sha256 in lost}
    known = JobInput.objects.filter(job__in={job_id for job_id, _ in rows})
    there = {*known.values_list("job", "sha256")}
    JobInput.objects.bulk_create(
        [row for key, row in rows.items() if key not in there and key[0] not in gone]
    )
    return gone


def are_there(params: Mapping[str, Any]) -> bool:
    """Tell whether all files that stored parameters name are still on the disk."""
    store = input_store()
    return all(store.path(sha256).is_file() for sha256 in _marks(params))


def _keep(files: Iterable[TakenFile]) -> None:
    store = input_store()
    with disk_trouble():
        # In one order everywhere: two submissions that lock the same files must not wait for
        # each other (PostgreSQL).
        for file in sorted(files, key=lambda f: f.sha256):
            store.keep(file.sha256, file.size, file.content)


def _rows(job_id: UUID, params: Mapping[str, Any]) -> Iterator[JobInput]:
    for sha256, mark in _marks(params).items():
        yield JobInput(job_id=job_id, sha256=sha256, mime=mark["mime"], bytes=mark["bytes"])


def holds_file(value: Any) -> bool:
    """Tell whether stored parameters, or a part of them, name a file."""
    return bool(_marks(value))


def _marks(value: Any) -> dict[str, Mapping[str, Any]]:
    """Return what stands for files in stored parameters, by hash."""
    if isinstance(value, Mapping):
        if MARK in value:
            return {value[MARK]: value}
        value = list(value.values())
    found: dict[str, Mapping[str, Any]] = {}
    for inner in value if isinstance(value, list) else ():
        found |= _marks(inner)
    return found


def restore(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with all inputs put back as the strings that came in.

    Raises FileNotFoundError if a file is gone.
    """
    return {key: _restored(value, input_store()) for key, value in params.items()}


def _restored(value: Any, store: ContentStore) -> Any:
    if isinstance(value, Mapping):
        if MARK in value:
            return encoded.encode(value["form"], value["mime"], store.read(value[MARK]))
        return {key: _restored(inner, store) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restored(inner, store) for inner in value]
    return value


def collect_inputs() -> int:
    """Delete the input files that no job names any more; return how many."""
    return collect(input_store(), _in_use)


def _in_use(hashes: Sequence[str]) -> set[str]:
    rows = JobInput.objects.filter(sha256__in=hashes)
    return set(rows.values_list("sha256", flat=True).distinct())


class _Taking:
    """One walk through the parameters; remembers the files that will have to be stored."""

    def __init__(self, actor: Actor, known: Known) -> None:
        self.actor = actor
        self.known = known
        self.files: dict[str, TakenFile] = {}
        self._bytes = 0

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as they are to be stored."""
        _refuse_mark(params, _WHERE)
        return {
            name: self._over(name) if self._is_known(name, value) else self._field(name, value)
            for name, value in params.items()
        }

    def check_upscale(self, taken: Mapping[str, Any], store: ContentStore) -> None:
        """Refuse what would get too large; a picture that is not made yet has no size here."""
        [picture] = taken["init_images"]
        if is_binding(picture):
            return
        if not isinstance(picture, str):
            file = self.files.get(picture[MARK])
            stored = file.content() if file else store.read(picture[MARK])
            picture = encoded.encode(picture["form"], picture["mime"], stored)
        found = encoded.decode(picture)
        if found is None:  # it was decoded before
            raise ValueError("no encoded value")
        size = inspect(found.content)
        sentence = why_too_large(size.width, size.height, factor_of(taken))
        if sentence:
            raise InvalidInput(
                sentence,
                fields={f"{_WHERE}.upscale_by": [sentence]},
                hint="Correct this value and send the order again.",
            )

    def _is_known(self, name: str, value: Any) -> bool:
        return name in self.known.given and _same(self.known.given[name], value)

    def _over(self, name: str) -> Any:
        value = self.known.stored[name]
        self._bytes += sum(mark["bytes"] for mark in _marks(value).values())
        return value

    def _field(self, name: str, value: Any) -> Any:
        path = f"{_WHERE}.{name}"
        if name == "init_images" and isinstance(value, list):
            return [self._picture(entry, f"{path}.{i}") for i, entry in enumerate(value)]
        if name == "mask":
            return self._picture(value, path)
        if name in _PROSE and isinstance(value, str):
            return value
        return self._value(value, path)

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            _refuse_mark(value, path)
            return {key: self._value(inner, f"{path}.{key}") for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, f"{path}.{i}") for i, inner in enumerate(value)]
        if isinstance(value, str) and len(value) > BIG:
            return self._string(value, path)
        return value

    def _picture(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return self._reference(value, path)
        if not isinstance(value, str):
            raise _refused(path, "must be a picture: base64, a data: URL, or a reference.")
        if value[:8].lower().startswith(("http://", "https://")):
            raise _refused(path, "is a web address. Download the picture and send it as base64.")
        found = encoded.decode(value)
        if found is None:
            raise _refused(path, "is neither base64 nor a base64 data: URL.")
        mime = _verified(found.content, path)
        return self._kept(value, found, mime, path) if len(value) > BIG else value

    def _reference(self, value: Mapping[str, Any], path: str) -> dict[str, Any]:
        _refuse_mark(value, path)
        if set(value) not in _REFERENCES or not _is_reference(value):
            raise _refused(
                path, 'is no reference. Send {"image_id": "…"} or {"job": "…", "image": 0}.'
            )
        if "job" in value and (binding := self._binding(value, path)) is not None:
            return binding
        read = partial(_referenced, value, self.actor, path)
        content = read()
        mime = _verified(content, path)
        return self._file(content, read, {"mime": mime, "form": "base64"}, path)

    def _binding(self, value: Mapping[str, Any], path: str) -> dict[str, Any] | None:
        """Return what stands for a picture that is not made yet; None if its job has ended."""
        try:
            job_id = UUID(value["job"])
        except ValueError:
            return None
        jobs = Job.objects.listed().visible_to(self.actor)
        unfinished = jobs.filter(pk=job_id, status__in=_UNFINISHED)
        wanted = unfinished.values_list("images_wanted", flat=True).first()
        if wanted is None:
            return None
        number = value.get("image", 0)
        if number >= wanted:
            raise _refused(path, f"names picture {number} of a job that makes {wanted}, from 0 on.")
        return {"job": str(job_id), "image": number}

    def _string(self, value: str, path: str) -> Any:
        found = encoded.decode(value)
        if found is None:
            if value[:11].lower() == "data:image/":
                raise _refused(path, "is a data: URL whose base64 is broken.")
            return value
        picture = sniff(found.content)
        if picture is None and not found.is_exact and not found.is_data_url:
            return value  # prose that happens to be letters and blanks
        if picture is not None or found.mime in MIME.values():
            mime = _verified(found.content, path)
        else:
            mime = "application/octet-stream"
        return self._kept(value, found, mime, path)

    def _kept(self, value: str, found: Encoded, mime: str, path: str) -> dict[str, Any]:
        form = {"mime": found.mime if found.form == "data-url" else mime, "form": found.form}
        return self._file(found.stored, partial(_stored, value), form, path)

    def _file(
        self, stored: bytes, read: Callable[[], bytes], form: dict[str, str], path: str
    ) -> dict[str, Any]:
        self._bytes += len(stored)
        if self._bytes > MAX_INPUT_BYTES:
            raise _refused(
                path, "makes more than 64 MB of pictures in one job.", error="payload_too_large"
            )
        sha256 = hashlib.sha256(stored).hexdigest()
        self.files.setdefault(sha256, TakenFile(sha256, form["mime"], len(stored), read))
        return {MARK: sha256, "bytes": len(stored), **form}


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON: 1, 1.0 and true are three different ones."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _check_size(taken: Mapping[str, Any]) -> None:
    # As Django stores it, so that the limit is that of the row.
    if len(json.dumps(taken)) <= MAX_PARAMS_BYTES:
        return
    sizes = {name: len(json.dumps(value)) for name, value in taken.items()}
    if sum(sizes.values()) + sum(len(name) + 6 for name in sizes) > MAX_PARAMS_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise _refused(
            _WHERE,
            f"has more than 256 kB beside its pictures; the largest part is {largest[:60]}."
            " Shorten the texts and lists in it.",
            error="payload_too_large",
        )


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Turn trouble with the disk into the error that the sender sees."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The picture could not be stored: {error.strerror or 'the disk does not take it'}.",
            error="storage_failed",
            hint="Free some space on MobileSD's disk, then send the order again.",
            retry_after=30,
        ) from error


def _stored(value: str) -> bytes:
    found = encoded.decode(value)
    if found is None:  # it was decoded before
        raise ValueError("no encoded value")
    return found.stored


def _verified(content: bytes, path: str) -> str:
    try:
        return MIME[verify(content).format]
    except ValueError as error:
        raise _refused(path, str(error)) from error


def _is_reference(value: Mapping[str, Any]) -> bool:
    index = value.get("image", 0)
    named = value.get("image_id", value.get("job"))
    return isinstance(named, str) and type(index) is int and 0 <= index < 10_000


def _referenced(value: Mapping[str, Any], actor: Actor, path: str) -> bytes:
    try:
        content, _ = ports.picture_bytes(value, actor)
    except Problem as problem:
        raise _refused(path, f"can't be resolved. {problem.message}", hint=problem.hint) from None
    except FileNotFoundError:
        raise _refused(path, "names a picture whose file is gone.") from None
    return content


def _refuse_mark(value: Mapping[str, Any], path: str) -> None:
    if MARK in value:
        raise _refused(
            path, f"holds {MARK}, which is MobileSD's own. Send the picture itself, or its id."
        )


def _refused(path: str, sentence: str, *, hint: str = "", error: str = "") -> InvalidInput:
    message = f"{path} {sentence}"
    return InvalidInput(
        message,
        error=error,
        hint=hint or "Correct this value and send the order again.",
        fields={path: [message]},
    )
