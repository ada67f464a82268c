from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"
    verbose_name = "Gallery"

    def ready(self) -> None:
        from gallery import services
        from jobs.ports import ports

        ports.results = services.results
        ports.picture_bytes = services.picture_bytes
