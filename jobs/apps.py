from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from apikeys.ports import ports
        from jobs import chains, emptiness, usage

        ports.usage = usage.usage
        ports.jobs_by_day = usage.jobs_by_day
        chains.connect()
        emptiness.connect()
