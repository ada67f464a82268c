"""Pictures over REST: the list, one picture, its file, its thumbnail, what its file says.

v1 answers flat, v2 in an envelope; files and thumbnails are the same in both.
"""

from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from gallery.api.serializers import emit_image
from gallery.files import image_store
from gallery.metadata import png_texts
from gallery.models import Image
from gallery.querysets import ImageQuerySet
from gallery.thumbnails import SIZES, thumbnail
from jobs.pictures import MIME
from mobilesd.errors import NotFound, bad_field
from mobilesd.http.files import IMMUTABLE, file_answer
from mobilesd.http.paging import PageRequest, paginate
from mobilesd.http.times import read_moment
from mobilesd.http.views import AnyAccept, ApiView

__all__ = [
    "ImageDetail",
    "ImageDetailV2",
    "ImageFile",
    "ImageInfo",
    "ImageInfoV2",
    "ImageThumbnail",
    "Images",
    "ImagesV2",
]

READ = "images:read"
_LATER = ("q", "sort")


def _find(request: Request, image_id: UUID) -> Image:
    image = Image.objects.visible_to(Actor.of_request(request)).filter(pk=image_id).first()
    if image is None:
        raise NotFound(
            "There is no such picture.",
            error="image_not_found",
            hint="Check the id. A picture of somebody else looks the same as none.",
        )
    return image


def _file_gone() -> NotFound:
    return NotFound(
        "The file of this picture is gone.",
        error="image_not_found",
        hint="Restore it from a backup; `manage.py doctor` names all that is missing.",
    )


def _filtered(images: ImageQuerySet, query: QueryDict) -> ImageQuerySet:
    for name in _LATER:
        if query.get(name):
            raise bad_field(
                name, "is not supported by this version of MobileSD.", error="unsupported_parameter"
            )
    filters: dict[str, Any] = {}
    if text := query.get("job"):
        try:
            filters["job"] = UUID(text)
        except ValueError:
            raise bad_field("job", f"must be a job's id, not {text[:60]!r}.") from None
    for name, field in (("server", "server_alias"), ("app_type", "app_type")):
        if text := query.get(name, "").replace("\x00", ""):
            filters[field] = text
    for name, lookup in (("from", "created_at__gte"), ("to", "created_at__lt")):
        if text := query.get(name):
            filters[lookup] = read_moment(name, text)
    return images.filter(**filters)


class Images(ApiView):
    """List pictures, newest first."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        return Response(_page(request))


class ImagesV2(ApiView):
    """List pictures, newest first."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        return Response({"success": True, **_page(request)})


class ImageDetail(ApiView):
    """Show one picture's parameters."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, image_id: UUID) -> Response:
        return Response(emit_image(_find(request, image_id)))


class ImageDetailV2(ApiView):
    """Show one picture's parameters."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, image_id: UUID) -> Response:
        return Response({"success": True, "image": emit_image(_find(request, image_id))})


class ImageInfo(ApiView):
    """Show one picture's parameters, and the texts that its file holds."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, image_id: UUID) -> Response:
        return Response(_with_metadata(_find(request, image_id)))


class ImageInfoV2(ApiView):
    """Show one picture's parameters, and the texts that its file holds."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, image_id: UUID) -> Response:
        return Response({"success": True, "image": _with_metadata(_find(request, image_id))})


def _page(request: Request) -> dict[str, Any]:
    visible = Image.objects.visible_to(Actor.of_request(request)).results()
    images = _filtered(visible, request.query_params)
    page = paginate(images, PageRequest.read(request.query_params))
    return {**page.counts(), "images": [emit_image(image) for image in page.rows]}


def _with_metadata(image: Image) -> dict[str, Any]:
    """Return the picture with the texts of its file: those of a PNG, none of other formats."""
    try:
        texts = png_texts(image_store().path(image.sha256))
    except FileNotFoundError:
        raise _file_gone() from None
    metadata = {"format": image.format, "text": texts.by_keyword, "complete": texts.complete}
    return {**emit_image(image), "metadata": metadata}


class ImageFile(ApiView):
    """Send the picture itself, byte for byte as the backend made it."""

    required_scopes = {"GET": READ}
    content_negotiation_class = AnyAccept

    def get(self, request: Request, image_id: UUID) -> HttpResponseBase:
        image = _find(request, image_id)
        try:
            return file_answer(
                request,
                image_store().path(image.sha256),
                mime=MIME[image.format],
                etag=image.sha256,
                filename=image.filename,
                cache=IMMUTABLE,
            )
        except FileNotFoundError:
            raise _file_gone() from None


class ImageThumbnail(ApiView):
    """Send a small WebP copy of the picture, `size` pixels along its longer edge."""

    required_scopes = {"GET": READ}
    content_negotiation_class = AnyAccept

    def get(self, request: Request, image_id: UUID) -> HttpResponseBase:
        size = _size(request.query_params.get("size"))
        image = _find(request, image_id)
        try:
            return file_answer(
                request,
                thumbnail(image, size),
                mime="image/webp",
                etag=f"{image.sha256}-{size}",
                filename=f"{image.filename.rpartition('.')[0]}-{size}.webp",
                cache=IMMUTABLE,
            )
        except FileNotFoundError:
            raise _file_gone() from None
        except ValueError as error:
            raise NotFound(f"There is no thumbnail: {error}.", error="image_not_found") from None


def _size(text: str | None) -> int:
    if not text:
        return SIZES[0]
    if text not in map(str, SIZES):
        sizes = " or ".join(map(str, SIZES))
        raise bad_field("size", f"must be {sizes}, not {text[:20]!r}.")
    return int(text)
