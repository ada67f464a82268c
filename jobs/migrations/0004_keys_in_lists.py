import jobs.querysets
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0002_keys_and_access'),
        ('jobs', '0003_search_and_indexes'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='job',
            name='job_app_type_created',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_source_created',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_server_created',
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('api_key__isnull', False), ('owner__isnull', False)), fields=['owner', 'api_key', 'created_at', 'id', 'deleted_at'], name='job_owner_key_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('deleted_at__isnull', True)), fields=['app_type', 'created_at', 'id', 'owner', 'api_key'], name='job_app_type_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('deleted_at__isnull', True)), fields=['source_info', 'created_at', 'id', 'owner', 'api_key'], name='job_source_created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(jobs.querysets.ServerOf(), models.F('created_at'), models.F('id'), models.F('owner'), models.F('api_key'), condition=models.Q(('deleted_at__isnull', True)), name='job_server_created'),
        ),
    ]
