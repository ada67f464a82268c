"""By which words a job is found, and keeping them in step with the job."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import connection

from apikeys.actors import Actor
from jobs.models import Job, JobText
from mobilesd.search import SearchIndex, Text, facet, indexed

__all__ = ["INDEX", "add", "change", "facets_of", "remove", "texts_of", "words_of"]

INDEX = SearchIndex("jobs_jobtext", owner="job_id")

_TEXTS = ("positive_prompt", "negative_prompt", "hr_prompt", "refiner_checkpoint")


def words_of(job: Job) -> str:
    """Return what the index has of a job: its texts, and whose it is and where it came from."""
    facets = {
        "owner": job.owner_id,
        "api_key": job.api_key_id,
        "app_type": job.app_type,
        "source_info": job.source_info or None,
        "batch": job.batch_id,
    }
    return indexed(_texts(job), (facet(*item) for item in facets.items() if item[1] is not None))


def facets_of(actor: Actor) -> list[str]:
    """Return the facets of the jobs that an actor may see, as `visible_to` has them.

    They make a search fast; what may be seen is still decided by `visible_to` alone.
    """
    if actor.sees_all_jobs:
        return []
    if actor.user_id is not None:
        return [facet("owner", actor.user_id)]
    return [facet("api_key", actor.key_prefix)]


def _texts(job: Job) -> Iterator[str]:
    params = job.generation_params
    yield from (str(params[name]) for name in _TEXTS if params.get(name))
    yield job.checkpoint
    yield job.source_info
    for name in ("loras", "styles"):
        entries: Any = params.get(name)
        for entry in entries if isinstance(entries, list) else ():
            named = entry.get("name") if isinstance(entry, dict) else entry
            if isinstance(named, str):
                yield named


def texts_of(jobs: Iterable[Job]) -> list[Text]:
    """Return what `INDEX.add` takes of these jobs; making it can come before the transaction."""
    prepare = Job._meta.pk.get_db_prep_value
    return [(prepare(job.pk, connection), job.created_at, words_of(job)) for job in jobs]


def add(jobs: Iterable[Job]) -> None:
    """Make new jobs findable; in the transaction that inserts them, after their events.

    Jobs that were created at the same time must come sorted by id, as lists show them. On
    PostgreSQL the lock that `jobs.events` takes keeps two submissions of one moment apart.
    """
    INDEX.add(texts_of(jobs))


def change(job: Job) -> None:
    """Bring the words of a job that was changed up to date, in the same transaction."""
    JobText.objects.filter(job=job).update(words=words_of(job))


def remove(job_ids: Iterable[UUID]) -> None:
    """Make deleted jobs unfindable, in the transaction that deletes them."""
    JobText.objects.filter(job__in=list(job_ids)).delete()
