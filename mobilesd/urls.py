"""All routes: the API first, then the pages."""

from django.contrib import admin
from django.urls import include, path, re_path

from mobilesd import health, views
from mobilesd.schema import documents
from mobilesd.unknown import UnknownPath

urlpatterns = [
    path("status", health.status),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("api/schema/", documents.schema, name="api-schema"),
    path("api/docs/", documents.docs, name="api-docs"),
    path("", include("jobs.urls")),
    path("", include("dispatch.urls")),
    path("", include("gallery.urls")),
    path("", include("apikeys.urls")),
    # Also with DEBUG on, where Django would show its own page for an unknown path.
    re_path(r"^api(?:/.*)?$", UnknownPath.as_view()),
    path("admin/login/", views.admin_sign_in),  # before the admin's own
    path("admin/", admin.site.urls),
    path("", include("mobilesd.pages")),
]

handler400 = "mobilesd.http.problems.bad_request"
handler404 = "mobilesd.http.problems.not_found"
handler500 = "mobilesd.http.problems.server_error"
