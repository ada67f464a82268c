"""API routes of pictures, and their files."""

from django.urls import path

from gallery.api import views

_ONE = "api/v1/gallery/images/<uuid:image_id>"
_ONE_V2 = "api/v2/images/<uuid:image_id>"

urlpatterns = [
    path("api/v1/gallery/images", views.Images.as_view()),
    path(_ONE, views.ImageDetail.as_view()),
    path(f"{_ONE}/file", views.ImageFile.as_view(), name="image-file"),
    path(f"{_ONE}/thumbnail", views.ImageThumbnail.as_view(), name="image-thumbnail"),
    path(f"{_ONE}/info", views.ImageInfo.as_view()),
    path("api/v2/images", views.ImagesV2.as_view()),
    path(_ONE_V2, views.ImageDetailV2.as_view()),
    path(f"{_ONE_V2}/file", views.ImageFile.as_view()),
    path(f"{_ONE_V2}/thumbnail", views.ImageThumbnail.as_view()),
    path(f"{_ONE_V2}/info", views.ImageInfoV2.as_view()),
]
