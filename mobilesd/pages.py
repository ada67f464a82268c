"""The routes of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from apikeys import views as keys
from dispatch.views import new, servers
from gallery import views as pictures
from jobs import views as queue
from jobs.webhooks import pages as hooks
from mobilesd import views as shell

urlpatterns = [
    path("", queue.queue, name="queue"),
    path("queue/active", queue.active, name="queue-active"),
    path("queue/ended", queue.ended, name="queue-ended"),
    path("queue/done", queue.done, name="queue-done"),
    path("queue/switch", queue.switch, name="queue-switch"),
    path("new", new.new, name="new"),
    path("jobs/<uuid:job_id>", pictures.job, name="job"),
    path("jobs/<uuid:job_id>/cancel", queue.cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry", queue.retry, name="job-retry"),
    path("jobs/<uuid:job_id>/delete", queue.delete, name="job-delete"),
    path("images/<uuid:image_id>", pictures.image, name="image"),
    path("pictures/pick", pictures.pick, name="pick"),
    path("servers", servers.servers, name="servers"),
    path("servers/add", servers.add, name="server-add"),
    path("servers/<slug:alias>/edit", servers.edit, name="server-edit"),
    path("servers/<slug:alias>/test", servers.test, name="server-test"),
    path("servers/<slug:alias>/switch", servers.switch, name="server-switch"),
    path("servers/<slug:alias>/delete", servers.delete, name="server-delete"),
    path("webhooks", hooks.webhooks, name="webhooks"),
    path("webhooks/add", hooks.add, name="webhook-add"),
    path("webhooks/<uuid:webhook_id>", hooks.deliveries, name="webhook"),
    path("webhooks/<uuid:webhook_id>/test", hooks.test, name="webhook-test"),
    path("webhooks/<uuid:webhook_id>/switch", hooks.switch, name="webhook-switch"),
    path("webhooks/<uuid:webhook_id>/delete", hooks.delete, name="webhook-delete"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/replay",
        hooks.replay,
        name="webhook-replay",
    ),
    path("keys", keys.keys, name="keys"),
    path("keys/new", keys.add, name="key-add"),
    path("keys/<str:prefix>", keys.key, name="key"),
    path("keys/<str:prefix>/edit", keys.edit, name="key-edit"),
    path("keys/<str:prefix>/rotate", keys.rotate, name="key-rotate"),
    path("keys/<str:prefix>/switch", keys.switch, name="key-switch"),
    path("keys/<str:prefix>/revoke", keys.revoke, name="key-revoke"),
    path("keys/<str:prefix>/delete", keys.delete, name="key-delete"),
    path("sign-in", shell.SignIn.as_view(), name="sign-in"),
    path("sign-out", LogoutView.as_view(), name="sign-out"),
    path("first-run/<str:token>", shell.first_run, name="first-run"),
    path("manifest.webmanifest", shell.manifest, name="manifest"),
    path("favicon.ico", shell.favicon),
]
