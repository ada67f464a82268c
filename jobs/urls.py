"""API routes of jobs, and the file of a running job's preview."""

from django.urls import path

from jobs.api import views

urlpatterns = [
    path("api/v1/generate", views.GenerateV1.as_view()),
    path("api/v1/queue/jobs", views.JobsV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>", views.JobV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/status", views.StatusV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/cancel", views.CancelV1.as_view()),
    path("api/v2/generate", views.GenerateV2.as_view()),
    path("api/v2/jobs", views.JobsV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>", views.JobV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/status", views.StatusV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/cancel", views.CancelV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/retry", views.RetryV2.as_view()),
    path("jobs/<uuid:job_id>/preview", views.Preview.as_view(), name="job-preview"),
]
