from django.apps import AppConfig


class DispatchConfig(AppConfig):
    name = "dispatch"
    verbose_name = "Servers"

    def ready(self) -> None:
        from dispatch import wake
        from dispatch.port import DispatchServers, forecast
        from jobs.ports import ports

        ports.servers = DispatchServers()
        ports.forecast = forecast
        wake.connect()
