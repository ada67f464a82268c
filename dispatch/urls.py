"""API routes of servers."""

from django.urls import path

from dispatch.api import lists, views

urlpatterns = [
    path("api/v1/servers", views.ServersV1.as_view()),
    path("api/v1/servers/<str:alias>", views.ServerV1.as_view()),
    path("api/v1/checkpoints", lists.Checkpoints.as_view()),
    path("api/v1/loras", lists.Loras.as_view()),
    path("api/v1/samplers", lists.Samplers.as_view()),
    path("api/v1/schedulers", lists.Schedulers.as_view()),
    path("api/v1/upscalers", lists.Upscalers.as_view()),
    path("api/v1/vaes", lists.Vaes.as_view()),
    path("api/v1/embeddings", lists.Embeddings.as_view()),
    path("api/v2/servers", views.ServersV2.as_view()),
    path("api/v2/servers/<str:alias>", views.ServerV2.as_view()),
]
