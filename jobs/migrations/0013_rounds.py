from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0012_kinds_of_jobs'),
    ]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='images',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='images_made',
            field=models.PositiveSmallIntegerField(default=0, editable=False),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='outcome',
            field=models.CharField(blank=True, choices=[('completed', 'Completed'), ('round', 'Its pictures are stored; more follow'), ('error', 'The backend answered with an error'), ('rejected', 'The answer was not what was asked for'), ('cancelled', 'Cancelled'), ('interrupted', 'Somebody interrupted it at the backend'), ('stalled', 'It stopped moving'), ('never_reached', 'It never reached the backend'), ('lost', 'Its answer was lost with our own process'), ('backend_died', 'The backend died or dropped the connection')], default='', max_length=16),
        ),
    ]
