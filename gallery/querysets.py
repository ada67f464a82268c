"""Questions about many pictures at once."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models

from jobs import journal
from jobs.checksums import IMAGE

if TYPE_CHECKING:
    from apikeys.actors import Actor
    from gallery.models import Image  # noqa: F401  named in the base class

__all__ = ["ImageQuerySet"]


class ImageQuerySet(models.QuerySet["Image"]):
    def update(self, **values: Any) -> int:
        """Change rows; a row whose checksummed values change has no checksum until it is looked at.

        See `jobs.checksums`, which writes it anew.
        """
        if not IMAGE.columns.isdisjoint(values):
            values.setdefault("checksum", "")
        return super().update(**values)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the pictures for good, and tell the journal: a recovery must not revive them."""
        journal.images_gone(self.values_list("pk", flat=True))
        return super().delete()

    # As Django's own has them: no template may call it, and no manager offers it.
    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def visible_to(self, actor: "Actor") -> Self:
        """Keep the pictures that this actor may see: those of the jobs that it may see."""
        if actor.sees_all_jobs:
            return self.all()
        if actor.user_id is not None:
            return self.filter(owner_id=actor.user_id)
        if actor.key_prefix is not None:
            return self.filter(owner_id__isnull=True, api_key_prefix=actor.key_prefix)
        return self.none()

    def results(self) -> Self:
        """Leave out the pictures that were not what was asked for."""
        return self.filter(rejected=False)
