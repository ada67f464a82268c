from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0006_control_chains_and_time"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="began_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="first_step_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
