"""The routes of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from apikeys import views as keys
from dispatch.views import edit, new, pick_job, presets, servers, upscale
from gallery import job_page
from gallery import views as pictures
from jobs.notifications import pages as notifications
from jobs.pages import actions, batches, many
from jobs.pages import lists as queue
from jobs.webhooks import pages as hooks
from mobilesd import storage_pages
from mobilesd import views as shell

urlpatterns = [
    path("", queue.queue, name="queue"),
    path("queue/active", queue.active, name="queue-active"),
    path("queue/ended", queue.ended, name="queue-ended"),
    path("queue/done", queue.done, name="queue-done"),
    path("queue/switch", actions.switch, name="queue-switch"),
    path("queue/plan", queue.plan, name="queue-plan"),
    path("queue/plan/apply", many.apply_plan, name="queue-plan-apply"),
    path("queue/clear", actions.clear, name="queue-clear"),
    path("queue/move", many.move, name="queue-move"),
    path("queue/many", many.many, name="queue-many"),
    path("undo/<uuid:undo_id>", actions.undo, name="undo"),
    path("batches/<uuid:batch_id>", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/cancel", many.cancel_batch, name="batch-cancel"),
    path("batches/<uuid:batch_id>/nod", many.nod, name="batch-nod"),
    path("new", new.new, name="new"),
    path("new/upscale", upscale.upscale, name="upscale"),
    path("new/count", new.count, name="new-count"),
    path("jobs/pick", pick_job.pick_job, name="pick-job"),
    path("jobs/<uuid:job_id>", job_page.job, name="job"),
    path("jobs/<uuid:job_id>/log", job_page.log, name="job-log"),
    path("jobs/<uuid:job_id>/menu", queue.menu, name="job-menu"),
    path("jobs/<uuid:job_id>/edit", edit.edit, name="job-edit"),
    path("jobs/<uuid:job_id>/cancel", actions.cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/duplicate", actions.duplicate, name="job-duplicate"),
    path("jobs/<uuid:job_id>/server", actions.send_to, name="job-server"),
    path("jobs/<uuid:job_id>/wait-not", actions.wait_not, name="job-wait-not"),
    path("jobs/<uuid:job_id>/retry", actions.retry, name="job-retry"),
    path("jobs/<uuid:job_id>/delete", actions.delete, name="job-delete"),
    path("images/<uuid:image_id>", pictures.image, name="image"),
    path("pictures/pick", pictures.pick, name="pick"),
    path("presets/", presets.presets, name="presets"),
    path("presets/save", presets.save, name="preset-save"),
    path("presets/export", presets.export, name="presets-export"),
    path("presets/import", presets.import_presets, name="presets-import"),
    path("presets/<uuid:preset_id>/share", presets.share, name="preset-share"),
    path("presets/<uuid:preset_id>/delete", presets.delete, name="preset-delete"),
    path("jobs/<uuid:job_id>/preset", presets.save_job, name="job-preset"),
    path("queue/import", presets.import_queue, name="queue-import"),
    path("servers", servers.servers, name="servers"),
    path("servers/add", servers.add, name="server-add"),
    path("servers/<slug:alias>/edit", servers.edit, name="server-edit"),
    path("servers/<slug:alias>/test", servers.test, name="server-test"),
    path("servers/<slug:alias>/switch", servers.switch, name="server-switch"),
    path("servers/<slug:alias>/delete", servers.delete, name="server-delete"),
    path("notifications", notifications.notifiers, name="notifiers"),
    path("notifications/add", notifications.add, name="notifier-add"),
    path("notifications/<uuid:notifier_id>/test", notifications.test, name="notifier-test"),
    path("notifications/<uuid:notifier_id>/switch", notifications.switch, name="notifier-switch"),
    path("notifications/<uuid:notifier_id>/delete", notifications.delete, name="notifier-delete"),
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
    path("settings/storage", storage_pages.storage, name="storage"),
    path("settings/storage/<slug:name>/dismiss", storage_pages.dismiss, name="recovery-dismiss"),
    path("sign-in", shell.SignIn.as_view(), name="sign-in"),
    path("sign-out", LogoutView.as_view(), name="sign-out"),
    path("first-run/<str:token>", shell.first_run, name="first-run"),
    path("manifest.webmanifest", shell.manifest, name="manifest"),
    path("favicon.ico", shell.favicon),
]
