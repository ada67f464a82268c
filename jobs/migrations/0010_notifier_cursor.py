from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0009_turns"),
    ]

    operations = [
        migrations.AddField(
            model_name="notifier",
            name="last_event_id",
            field=models.BigIntegerField(default=0, editable=False),
        ),
    ]
