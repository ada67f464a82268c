import django.db.models.deletion
import jobs.querysets
from django.db import migrations, models

from jobs.wording import INDEX, words_of
from mobilesd.search import first_rank

BATCH = 1000
LISTED = models.Q(('deleted_at__isnull', True))


def create_index(apps, schema_editor):
    INDEX.create(schema_editor)


def drop_index(apps, schema_editor):
    INDEX.drop(schema_editor)


def fill(apps, schema_editor):
    """Make the jobs findable that are there already."""
    job_text = apps.get_model('jobs', 'JobText')
    listed = apps.get_model('jobs', 'Job').objects.filter(deleted_at__isnull=True)
    rows, rank = [], None
    for job in listed.order_by('created_at', 'id').iterator(BATCH):
        first = first_rank(job.created_at)
        rank = first if rank is None else max(rank + 1, first)
        rows.append(job_text(id=rank, job_id=job.pk, words=words_of(job)))
        if len(rows) == BATCH:
            job_text.objects.bulk_create(rows)
            rows = []
    job_text.objects.bulk_create(rows)


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_batches_queue_webhooks'),
    ]

    operations = [
        migrations.CreateModel(
            name='JobText',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('job', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='text', to='jobs.job')),
                ('words', models.TextField()),
            ],
        ),
        migrations.RemoveIndex(model_name='job', name='job_key_created'),
        migrations.RemoveIndex(model_name='job', name='job_made_by_key'),
        migrations.RemoveIndex(model_name='job', name='job_status_created'),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=LISTED, fields=['status', 'created_at', 'id', 'owner', 'api_key', 'app_type'], name='job_status_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=LISTED, fields=['app_type', 'created_at', 'id', 'owner'], name='job_app_type_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=LISTED, fields=['source_info', 'created_at', 'id', 'owner'], name='job_source_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(jobs.querysets.ServerOf(), models.F('created_at'), models.F('id'), models.F('owner'), condition=LISTED, name='job_server_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('batch__isnull', False)), fields=['batch', 'created_at', 'id'], name='job_batch_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('api_key__isnull', False)), fields=['api_key', 'created_at', 'id', 'owner', 'deleted_at'], name='job_key_created'),
        ),
        migrations.RunPython(create_index, drop_index, elidable=False),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
