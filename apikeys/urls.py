"""API routes of keys."""

from django.urls import path

from apikeys.api import keys, whoami

urlpatterns = [
    path("api/v1/api-keys", keys.KeysV1.as_view()),
    path("api/v1/api-keys/<str:prefix>", keys.KeyV1.as_view()),
    path("api/v1/api-keys/<str:prefix>/rotate", keys.RotateV1.as_view()),
    path("api/v1/api-keys/<str:prefix>/revoke", keys.RevokeV1.as_view()),
    path("api/v2/whoami", whoami.WhoAmIV2.as_view()),
]
