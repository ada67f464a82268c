"""Pictures, to look at; their files belong to the collector."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gallery.models import Image

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Image]
else:
    _Admin = admin.ModelAdmin


@admin.register(Image)
class ImageAdmin(_Admin):
    list_display = (
        "id",
        "width",
        "height",
        "format",
        "checkpoint",
        "server_alias",
        "rejected",
        "created_at",
    )
    list_filter = ("rejected", "format", "server_alias", "created_at")
    search_fields = ("=id", "=sha256", "=job__id", "=seed")
    ordering = ("-created_at",)
    show_full_result_count = False
    readonly_fields = ("picture",)

    @admin.display(description="Picture")
    def picture(self, image: Image) -> SafeString:
        """Show the thumbnail, with a link to the file."""
        return format_html(
            '<a href="{}"><img src="{}" alt=""></a>',
            reverse("image-file", args=[image.pk]),
            reverse("image-thumbnail", args=[image.pk]),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
