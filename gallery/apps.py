from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"
    verbose_name = "Gallery"

    def ready(self) -> None:
        from gallery import differences, services
        from jobs.ports import ports

        ports.differences = differences.of_job
        ports.results = services.results
        ports.picture_bytes = services.picture_bytes
