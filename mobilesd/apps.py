import os

from django.apps import AppConfig

from mobilesd import lifeline


class MobileSDConfig(AppConfig):
    name = "mobilesd"
    verbose_name = "MobileSD"

    def ready(self) -> None:
        from mobilesd import checks  # noqa: F401  registers the system checks
        from mobilesd.backups import damage

        damage.watch()
        lifeline.tie()
        if lifeline.ENVIRONMENT in os.environ and "Q_CLUSTER_NAME" in os.environ:
            from mobilesd.supervisor import cluster

            cluster.prepare(os.environ["Q_CLUSTER_NAME"])
