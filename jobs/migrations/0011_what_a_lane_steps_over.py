import jobs.models.derived
import jobs.querysets
from django.db import migrations, models
from jobs.models.derived import joined
from jobs.params.loras import loras_of

_WAITS = models.Q(("deleted_at__isnull", True), ("status", "pending"))
_CHOOSABLE = _WAITS & models.Q(("blocked", False), ("held", False), ("put_off_until__isnull", True))
_LEVEL = [models.F(n) for n in ("app_type", "target_server_alias", "lane_class", "priority")]
_LOOKED_AT = [
    models.F(n) for n in ("loras", "avoid_servers", "not_before", "retry_at", "deadline")
]

# Whoever is put off too long, or blocked though its parents ended, is found by the next sweep.
_PUT_OFF = """
    UPDATE jobs_job SET put_off_until = COALESCE(
        CASE WHEN retry_at > not_before THEN retry_at ELSE not_before END, retry_at
    )
    WHERE not_before IS NOT NULL OR retry_at IS NOT NULL
"""
_BLOCKED = """
    UPDATE jobs_job SET blocked = true WHERE status IN ('pending', 'failed', 'cancelled')
    AND EXISTS (SELECT 1 FROM jobs_jobdependency d WHERE d.job_id = jobs_job.id)
"""


def name_loras(apps, schema_editor):
    rows = apps.get_model("jobs", "Job").objects.exclude(status="completed")
    for row in rows.only("generation_params").iterator(500):
        if names := loras_of(row.generation_params):
            rows.filter(pk=row.pk).update(loras=joined(names))


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_notifier_cursor")]

    operations = [
        migrations.RemoveIndex(model_name="job", name="job_turns"),
        migrations.RemoveIndex(model_name="job", name="job_models"),
        migrations.RemoveIndex(model_name="job", name="job_timed"),
        migrations.AddField(
            model_name="job",
            name="put_off_until",
            field=jobs.models.derived.PutOffField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="blocked",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name="job",
            name="loras",
            field=jobs.models.derived.LorasField(blank=True, default="", editable=False),
        ),
        migrations.RunSQL(_PUT_OFF, migrations.RunSQL.noop),
        migrations.RunSQL(_BLOCKED, migrations.RunSQL.noop),
        migrations.RunPython(name_loras, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                *_LEVEL,
                jobs.querysets.ScopeOf(),
                models.F("position"),
                models.F("id"),
                *_LOOKED_AT,
                models.F("checkpoint"),
                name="job_turns",
                condition=_CHOOSABLE,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                *_LEVEL,
                models.F("checkpoint"),
                jobs.querysets.ScopeOf(),
                models.F("position"),
                models.F("id"),
                *_LOOKED_AT,
                name="job_models",
                condition=_CHOOSABLE,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                *_LEVEL,
                models.F("loras"),
                name="job_loras",
                condition=_CHOOSABLE & ~models.Q(loras=""),
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["status", "put_off_until"],
                name="job_put_off",
                condition=_WAITS & models.Q(put_off_until__isnull=False),
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["status", "id"],
                name="job_blocked",
                condition=_WAITS & models.Q(blocked=True),
            ),
        ),
    ]
