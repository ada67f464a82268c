"""API routes of servers."""

from django.urls import path

from dispatch.api import views

urlpatterns = [
    path("api/v1/servers", views.ServersV1.as_view()),
    path("api/v1/servers/<str:alias>", views.ServerV1.as_view()),
    path("api/v2/servers", views.ServersV2.as_view()),
]
