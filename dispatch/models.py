"""Servers, and the lease by which one lane owns one of them."""

from django.db import connection, models

from jobs.choices import Kind
from jobs.models import Job
from mobilesd.sealed import seal, unseal

__all__ = [
    "COMPANION_TOKEN",
    "PASSWORD",
    "ExpectedStart",
    "Health",
    "Interrupt",
    "Inventory",
    "Server",
    "Timing",
    "hold_servers",
]

PASSWORD = "server-password"  # what servers' passwords are sealed as
COMPANION_TOKEN = "companion-token"


_ADVISORY_LOCK = 0x6D6F6266  # any constant that nobody else takes


def hold_servers() -> None:
    """Keep those apart, until the commit, who look at all servers to change one of them.

    They count the lanes that live, or look for a second server with the same address: on
    PostgreSQL neither of two at once would see the other. Before the locks of server rows.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


class Health(models.TextChoices):
    UNKNOWN = "unknown", "Not asked yet"
    STARTING = "starting", "Starting"
    HEALTHY = "healthy", "Healthy"
    OFFLINE = "offline", "Offline"
    REFUSED = "refused", "Refuses our sign-in"
    ASIDE = "aside", "Set aside after failures"


class Interrupt(models.TextChoices):
    CAREFUL = "careful", "Stop the running picture when it is surely ours"
    NEVER = "never", "Let the running picture end and throw it away"


class Server(models.Model):
    """A backend that makes pictures.

    The lease (`lane_token` with host, pid and process start) is written only by
    `dispatch.lease`; `wake_seq` is bumped by whatever can make a job eligible here.
    """

    alias = models.SlugField(max_length=64, unique=True)
    url = models.CharField(max_length=300)
    app_type = models.CharField(max_length=32)
    description = models.CharField(max_length=500, blank=True, default="")
    username = models.CharField(max_length=200, blank=True, default="")
    sealed_password = models.TextField(blank=True, default="", editable=False)
    # Our companion there: the token for it, and what it said when it was asked last.
    sealed_companion_token = models.TextField(blank=True, default="", editable=False)
    companion_version = models.CharField(max_length=50, blank=True, default="", editable=False)
    companion_ok = models.BooleanField(default=False, editable=False)
    companion_text = models.CharField(max_length=300, blank=True, default="", editable=False)
    enabled = models.BooleanField(default=True)
    paused = models.BooleanField(default=False)
    demo = models.BooleanField(default=False, editable=False)
    # When it may take jobs, as in jobs.QueueSettings.
    hours = models.CharField(max_length=200, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    run_until = models.DateTimeField(null=True, blank=True)
    # How it is woken when a job waits for it: a MAC address, or a command of whoever runs us.
    wake_mac = models.CharField(max_length=17, blank=True, default="")
    wake_command = models.CharField(max_length=500, blank=True, default="")
    wake_seconds = models.PositiveIntegerField(default=180)
    woken_at = models.DateTimeField(null=True, blank=True, editable=False)
    wake_text = models.CharField(max_length=300, blank=True, default="", editable=False)
    # It yields while others use it: so many free MB of VRAM are wanted; null: it never yields.
    yield_below_mb = models.PositiveIntegerField(null=True, blank=True)
    yields_since = models.DateTimeField(null=True, blank=True, editable=False)
    yield_text = models.CharField(max_length=300, blank=True, default="", editable=False)
    vram_total_mb = models.PositiveIntegerField(null=True, blank=True, editable=False)
    vram_free_mb = models.PositiveIntegerField(null=True, blank=True, editable=False)
    interrupt = models.CharField(
        max_length=16, choices=Interrupt.choices, default=Interrupt.CAREFUL
    )

    health = models.CharField(max_length=16, choices=Health.choices, default=Health.UNKNOWN)
    health_text = models.CharField(max_length=300, blank=True, default="")
    health_since = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)
    failures_in_row = models.PositiveIntegerField(default=0)
    version = models.CharField(max_length=100, blank=True, default="")
    loaded_checkpoint = models.CharField(max_length=500, blank=True, default="")
    loaded_since = models.DateTimeField(null=True, blank=True, editable=False)
    poisoned_by = models.CharField(max_length=500, blank=True, default="", editable=False)

    lane_token = models.UUIDField(null=True, blank=True, editable=False)
    lane_host = models.CharField(max_length=255, blank=True, default="", editable=False)
    lane_pid = models.IntegerField(null=True, editable=False)
    lane_started = models.FloatField(null=True, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    wake_seq = models.BigIntegerField(default=0, editable=False)
    watched_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.alias

    @property
    def password(self) -> str:
        """Return the password in clear; never show or log it."""
        return unseal(self.sealed_password, purpose=PASSWORD) if self.sealed_password else ""

    @password.setter
    def password(self, value: str) -> None:
        self.sealed_password = seal(value, purpose=PASSWORD) if value else ""

    @property
    def companion_token(self) -> str:
        """Return the companion's token in clear; never show or log it."""
        sealed = self.sealed_companion_token
        return unseal(sealed, purpose=COMPANION_TOKEN) if sealed else ""

    @companion_token.setter
    def companion_token(self, value: str) -> None:
        self.sealed_companion_token = seal(value, purpose=COMPANION_TOKEN) if value else ""

    @property
    def address(self) -> tuple[str, ...]:
        """Return what a change of makes a lane connect anew."""
        return self.url, self.username, self.sealed_password, self.sealed_companion_token

    @property
    def is_healthy(self) -> bool:
        return self.health == Health.HEALTHY


class Inventory(models.Model):
    """What a server has: its own row, because a heartbeat must not rewrite a large JSON."""

    server = models.OneToOneField(
        Server, models.CASCADE, primary_key=True, related_name="inventory_row"
    )
    data = models.JSONField(default=dict)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "inventories"

    def __str__(self) -> str:
        return f"inventory of {self.server_id}"


class Timing(models.Model):
    """Learned speed of one server with one checkpoint and kind of jobs, as moving averages.

    `unit_seconds` is the time of one step on one megapixel. Loads belong to no kind (""); speeds
    without one were learned by a version that did not tell kinds apart. Upscales have the upscaler
    in the checkpoint's place.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="timings")
    checkpoint = models.CharField(max_length=500, blank=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, blank=True, default="")
    runs = models.PositiveIntegerField(default=0)
    unit_seconds = models.FloatField(default=0)
    loads = models.PositiveIntegerField(default=0)
    load_seconds = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["server", "checkpoint", "kind"], name="timing_once"),
        ]

    def __str__(self) -> str:
        return f"{self.server_id} {self.checkpoint} {self.kind}".rstrip()


class ExpectedStart(models.Model):
    """When a job was first expected to start: to be compared with when it did."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="+")
    at = models.DateTimeField()
    told_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.job_id} at {self.at}"
