"""API routes of jobs, and the file of a running job's preview."""

from django.urls import path

from jobs.api import (
    bulk,
    changes,
    generate,
    history,
    lists,
    previews,
    queue,
    settings,
    status,
    streams,
    webhooks,
)

urlpatterns = [
    path("api/v1/generate", generate.GenerateV1.as_view()),
    path("api/v1/queue/jobs", lists.JobsV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>", changes.JobV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/status", status.StatusV1.as_view()),
    path("api/v1/queue/jobs/<uuid:job_id>/cancel", changes.CancelV1.as_view()),
    path("api/v1/settings", settings.SettingsV1.as_view()),
    path("api/v1/settings/queue-processing", settings.QueueProcessingV1.as_view()),
    path("api/v2/generate", generate.GenerateV2.as_view()),
    path("api/v2/generate/bulk", bulk.BulkV2.as_view()),
    path("api/v2/generate/bulk/<uuid:batch_id>", bulk.BulkStatusV2.as_view()),
    path("api/v2/generate/bulk/<uuid:batch_id>/cancel", bulk.BulkCancelV2.as_view()),
    path("api/v2/jobs", lists.JobsV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>", changes.JobV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/status", status.StatusV2.as_view()),
    path("api/v2/events", streams.EventsV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/cancel", changes.CancelV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/retry", changes.RetryV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/move", changes.MoveV2.as_view()),
    path("api/v2/jobs/<uuid:job_id>/history", history.HistoryV2.as_view()),
    path("api/v2/queue", queue.QueueV2.as_view()),
    path("api/v2/queue/pause", queue.PauseV2.as_view()),
    path("api/v2/queue/resume", queue.ResumeV2.as_view()),
    path("api/v2/queue/clear", queue.ClearV2.as_view()),
    path("api/v2/webhooks", webhooks.WebhooksV2.as_view()),
    path("api/v2/webhooks/<uuid:webhook_id>", webhooks.WebhookV2.as_view()),
    path("api/v2/webhooks/<uuid:webhook_id>/test", webhooks.TestV2.as_view()),
    path("api/v2/webhooks/<uuid:webhook_id>/deliveries", webhooks.DeliveriesV2.as_view()),
    path(
        "api/v2/webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>",
        webhooks.DeliveryV2.as_view(),
    ),
    path(
        "api/v2/webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/replay",
        webhooks.ReplayV2.as_view(),
    ),
    path("jobs/<uuid:job_id>/preview", previews.Preview.as_view(), name="job-preview"),
]
