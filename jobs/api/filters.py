"""Which jobs a list shows, and in which part (contracts/api.md, "Lists" and v2 /jobs)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import QueryDict

from apikeys.actors import Actor
from jobs import wording
from jobs.choices import Status
from jobs.models import Job, JobText
from jobs.narrowing import Wanted
from jobs.sources import of_program
from mobilesd.errors import bad_field
from mobilesd.http.paging import Page, PageRequest, paginate
from mobilesd.http.search_paging import Found, check_offset, paginate_found
from mobilesd.http.times import read_moment
from mobilesd.search import Expression, expression, facet

__all__ = ["JobFilter", "read_filter"]

MAX_VALUE = 500
FEW = 500  # jobs whose words are read, not found by their index
_EQUAL = ("app_type", "source_info", "api_key", "server")
# The server changes while a job runs, as its status does, and what a source is without its version
# is not among a job's words: their index, which is written once, knows none of these.
_UNTOLD = ("server", "source")


@dataclass(frozen=True)
class JobFilter:
    """What is asked for, and `used`: how each filter was understood, for the answer."""

    wanted: Wanted
    used: dict[str, Any]
    words: Expression | None = None

    def page(self, part: PageRequest) -> Page[Job]:
        """Return a part of the list."""
        if self.words is None or self.wanted.impossible:
            jobs, *more = self.wanted.parts()
            return paginate(jobs, part, *more)
        check_offset(part)
        found = self._found(self.words)
        if not found.told and (few := self.wanted.few_ranks(FEW)) is not None:
            return paginate(found.at(wording.INDEX.among(found.expression, few)), part)
        return paginate_found(found, part)

    def _found(self, words: Expression) -> Found[Job]:
        equal = self.wanted.equal
        told = {name: value for name, value in equal.items() if name not in _UNTOLD}
        facets = [facet(*item) for item in told.items()]
        return Found(
            rows=self.wanted.unindexed(),
            along=self.wanted.along(),
            texts=JobText.objects.all(),
            owner="job",
            text="text",
            index=wording.INDEX,
            expression=words.within([*facets, *wording.facets_of(self.wanted.actor)]),
            created_after=self.wanted.created_after,
            created_before=self.wanted.created_before,
            told=not self.wanted.statuses and len(told) == len(equal),
        )


def read_filter(query: QueryDict, actor: Actor) -> JobFilter:
    """Read the filters of a list; raise InvalidInput that names the wrong one.

    A parameter that is no filter is ignored, and missing in `used`.
    """
    used: dict[str, Any] = {}
    statuses = _statuses(query.getlist("status"))
    if statuses:
        used["status"] = statuses
    equal: dict[str, Any] = {name: value for name in _EQUAL if (value := _value(query, name))}
    if source := _value(query, "source"):
        equal["source"] = of_program(source)
    if batch := _value(query, "batch"):
        equal["batch"] = _uuid("batch", batch)
    used |= equal
    moments = {
        name: read_moment(name, text)
        for name in ("created_after", "created_before")
        if (text := _value(query, name))
    }
    used |= moments
    words = None
    if text := (query.get("q") or "").strip():
        words = expression(text)
        used["q"] = text
    wanted = Wanted(actor=actor, statuses=statuses, equal=equal, **moments)
    return JobFilter(wanted, used, words)


def _statuses(given: Iterable[str]) -> list[str]:
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in Status.values:
            raise bad_field(
                "status", f"must be one of {', '.join(Status.values)}, not {word[:40]!r}."
            )
    return list(dict.fromkeys(words))


def _value(query: QueryDict, name: str) -> str:
    value = (query.get(name) or "").strip()
    if "\x00" in value or len(value) > MAX_VALUE:
        raise bad_field(name, "can't be searched for.")
    return value


def _uuid(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise bad_field(name, f"must be a UUID, not {text[:40]!r}.") from None
