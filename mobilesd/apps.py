import os

from django.apps import AppConfig

from mobilesd import lifeline


class MobileSDConfig(AppConfig):
    name = "mobilesd"
    verbose_name = "MobileSD"

    def ready(self) -> None:
        from mobilesd import checks  # noqa: F401  registers the system checks
        from mobilesd.supervisor import probe

        lifeline.tie()
        if lifeline.ENVIRONMENT in os.environ and "Q_CLUSTER_NAME" in os.environ:
            probe.mark_work()
