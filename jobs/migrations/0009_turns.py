import jobs.querysets
from django.db import migrations, models

_CHOOSABLE = models.Q(("deleted_at__isnull", True), ("held", False), ("status", "pending"))


class Migration(migrations.Migration):

    dependencies = [("jobs", "0008_finer_places")]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("app_type"),
                models.F("target_server_alias"),
                models.F("lane_class"),
                models.F("priority"),
                jobs.querysets.ScopeOf(),
                models.F("position"),
                models.F("id"),
                models.F("checkpoint"),
                models.F("retry_at"),
                models.F("deadline"),
                condition=_CHOOSABLE & models.Q(("not_before__isnull", True)),
                name="job_turns",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("app_type"),
                models.F("target_server_alias"),
                models.F("lane_class"),
                models.F("priority"),
                models.F("checkpoint"),
                jobs.querysets.ScopeOf(),
                models.F("position"),
                models.F("id"),
                models.F("retry_at"),
                models.F("deadline"),
                condition=_CHOOSABLE & models.Q(("not_before__isnull", True)),
                name="job_models",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("app_type"),
                models.F("target_server_alias"),
                models.F("lane_class"),
                models.F("priority"),
                jobs.querysets.ScopeOf(),
                models.F("not_before"),
                models.F("id"),
                models.F("checkpoint"),
                models.F("retry_at"),
                models.F("deadline"),
                condition=_CHOOSABLE & models.Q(("not_before__isnull", False)),
                name="job_timed",
            ),
        ),
    ]
