"""`{% chain job %}`: the chain that a job belongs to, drawn; nothing for a job without one."""

from typing import Any

from django import template

from apikeys.actors import Actor
from jobs.family import family_of
from jobs.models import Job

__all__ = ["register"]

register = template.Library()


@register.inclusion_tag("jobs/_graph.html", takes_context=True)
def chain(context: template.Context, job: Job) -> dict[str, Any]:
    """Draw the chain as the reader of the page may see it."""
    return {"family": family_of(job, Actor.of_request(context["request"])), "job": job}
