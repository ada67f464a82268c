"""API routes of jobs, and the file of a running job's preview."""

from django.urls import path

from jobs.api import changes, generate, lists, previews, status

urlpatterns = [
    path("api/v1/generate", generate.GenerateV1.as_view()),
    path("api/v1/queue/jobs", lists.JobsV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>", changes.JobV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/status", status.StatusV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/cancel", changes.CancelV1.as_view()),
    path("api/v2/generate", generate.GenerateV2.as_view()),
    path("api/v2/jobs", lists.JobsV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>", changes.JobV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/status", status.StatusV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/cancel", changes.CancelV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/retry", changes.RetryV2.as_view()),
    path("jobs/<uuid:job_id>/preview", previews.Preview.as_view(), name="job-preview"),
]
