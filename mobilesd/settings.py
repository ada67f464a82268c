"""Django's settings, all driven by the environment (design §10); SQLite and no other service
by default, so that a checkout runs by itself."""

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mobilesd import env, logs
from mobilesd.schema.configuration import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from mobilesd.secrets_file import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.path("MOBILESD_DATA_DIR", BASE_DIR / "data")
# What belongs to one `up` alone; several that share a data folder have one each.
RUN_DIR = env.path("MOBILESD_RUN_DIR", DATA_DIR / "run")

# New work stops below this much free room on the disk; what runs is finished.
MIN_FREE_BYTES = env.integer("MOBILESD_MIN_FREE_MB", 1024, 0, 1024 * 1024) * 1024 * 1024

DEBUG = env.boolean("MOBILESD_DEBUG", False)
SECRET_KEY = env.secret("MOBILESD_SECRET_KEY") or secret_key(DATA_DIR)
ALLOWED_HOSTS = env.strings("MOBILESD_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
PUBLIC_URL = env.origin("MOBILESD_PUBLIC_URL")
if PUBLIC_URL:
    ALLOWED_HOSTS.append(str(urlsplit(PUBLIC_URL).hostname))
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
# Only these may say in X-Forwarded-For where a request comes from.
TRUSTED_PROXIES = env.networks("MOBILESD_TRUSTED_PROXIES")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "django_q",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apikeys",
    "jobs",
    "models_catalog",
    "gallery",
    "dispatch",
    "mobilesd",
]

MIDDLEWARE = [
    "mobilesd.http.request_ids.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apikeys.middleware.AccessMiddleware",  # before all that may refuse a request
    "mobilesd.http.pages.PageMiddleware",  # before anything that reads a form
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "mobilesd.urls"
ASGI_APPLICATION = "mobilesd.asgi.application"
APPEND_SLASH = False  # the contract's paths have no slash; an unknown API path is a JSON 404

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------
# IMMEDIATE takes the write lock at BEGIN, so that a read-then-write transaction waits instead
# of failing at once; FULL makes a commit survive a power cut. No mmap, no second library.
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DATA_DIR / "mobilesd.sqlite3",
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            " PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-8000;"
            " PRAGMA temp_store=MEMORY"
        ),
    },
    # A test database in memory can't be shared between processes and threads as a file is.
    "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
}
DATABASES = {"default": env.database_url("MOBILESD_DATABASE_URL") or _SQLITE}
EMBEDDED = DATABASES["default"]["ENGINE"].endswith("sqlite3")  # type: ignore[attr-defined]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache and live events ----------------------------------------------------------------
REDIS_URL = env.url("MOBILESD_REDIS_URL", schemes=("redis", "rediss", "unix"))
CACHES: dict[str, dict[str, Any]]
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "mobilesd.sparing.SparedRedisCache", "LOCATION": REDIS_URL}}
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Counters must not make room for each other: LocMemCache drops the least used third when it is
# full, which here are those of past minutes. A minute can't use more than 40,000 of them.
CACHES["ratelimit"] = {
    **CACHES["default"],
    **({} if REDIS_URL else {"LOCATION": "ratelimit", "OPTIONS": {"MAX_ENTRIES": 65_536}}),
}
RATELIMIT_USE_CACHE = "ratelimit"
RATELIMIT_FAIL_OPEN = True  # mobilesd/sparing.py says why
RATELIMIT_IP_META_KEY = "mobilesd.http.addresses.client_address"
# E003 calls memory "not a shared cache", W001 knows django_redis only. Both are right in general;
# mobilesd.E005 refuses exactly the set-up in which memory would count wrongly.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.E003", "django_ratelimit.W001"]

# --- Access log ---------------------------------------------------------------------------
ACCESS_LOG_DAYS = env.integer("MOBILESD_ACCESS_LOG_DAYS", 30, 1, 3650)
ACCESS_LOG_WRITER = True  # the tests write it themselves, in their own transactions

# --- Forecasts ----------------------------------------------------------------------------
FORECAST_THREAD = True  # the tests play the queue in their own transactions

# --- Background work ----------------------------------------------------------------------
LANES = env.integer("MOBILESD_LANES", 2, 1, 64)
LANE_SECONDS = env.number("MOBILESD_LANE_SECONDS", 300, 0.5, 86_400)
LINGER_SECONDS = env.number("MOBILESD_LINGER_SECONDS", 60, 0, 3600)
LEASE_STALE_SECONDS = env.number("MOBILESD_LEASE_STALE_SECONDS", 30, 1, 3600)
SWEEP_SECONDS = env.number("MOBILESD_SWEEP_SECONDS", 5, 0.2, 600)
PROBE_SECONDS = env.number("MOBILESD_PROBE_SECONDS", 10, 0.2, 600)
PROBE_WAIT_SECONDS = env.number("MOBILESD_PROBE_WAIT_SECONDS", 30, 1, 3600)
# The stop flag of lanes is one of this start only: a later start must not see an old one.
BOOT_ID = env.text("MOBILESD_BOOT_ID")

# Webhooks reach the internet and the LAN, but not this machine and what is bound to its link
# (169.254.169.254 tells a cloud's secrets), unless whoever runs it says so.
WEBHOOK_ALLOW_LOCAL = env.boolean("MOBILESD_WEBHOOK_ALLOW_LOCAL", False)

# Where wake-up packets are sent: the broadcast addresses of the networks that servers sleep in.
WAKE_BROADCAST = env.strings("MOBILESD_WAKE_BROADCAST", ["255.255.255.255"])

# Meant for tasks that are retried after a time-out; lanes have neither (see below).
warnings.filterwarnings("ignore", message="Retry and timeout are misconfigured")

# django-q2 executes and wakes, it never holds the truth (design §2): no retry of its own.
_CLUSTER = {
    "timeout": 900,
    "retry": 7200,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.2,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": 50,
    "catch_up": False,
    "recycle": 200,
}
Q_CLUSTER: dict[str, Any] = {
    **_CLUSTER,
    "name": "mobilesd",
    "label": "Background work",
    "orm": "default",
    "guard_cycle": 0.5,
    "workers": 2,
    "cache": "default",
    "ALT_CLUSTERS": {
        # The stall watch ends a run, never a time-out: a killed lane wastes a picture.
        "dispatch": {**_CLUSTER, "timeout": None, "workers": LANES + 2, "recycle": 20},
        "background": {**_CLUSTER, "workers": 2},
    },
}

# --- REST ---------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apikeys.authentication.ApiKeyAuthentication",
        "apikeys.authentication.PageSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.ScopePermission"],
    "DEFAULT_THROTTLE_CLASSES": ["apikeys.limits.KeyThrottle"],
    "DEFAULT_PARSER_CLASSES": ["mobilesd.http.codec.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["mobilesd.http.codec.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "mobilesd.http.browsable.JsonUnlessBrowsed",
    "URL_FORMAT_OVERRIDE": None,  # `format` is a parameter like any other that is not known
    "EXCEPTION_HANDLER": "mobilesd.http.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
MAX_BODY_BYTES = 64 * 1024 * 1024
# Of all kinds, with event streams and sockets; an idle one costs about 20 kB.
MAX_CONNECTIONS = env.integer("MOBILESD_MAX_CONNECTIONS", 4000, 16, 100_000)
# So long may a connection be silent, and so long may headers take (mobilesd/serving.py).
PATIENCE_SECONDS = env.number("MOBILESD_PATIENCE_SECONDS", 60, 0.2, 3600)
# Bodies are bounded by StrictJSONParser with a JSON answer; Django's own limit would be a page.
DATA_UPLOAD_MAX_MEMORY_SIZE = None
# The queue page's list, all of it selected, and what stands beside it in the form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
# Older extensions are refused (mobilesd/http/extension_version.py); GET /api/v2/whoami tells it.
MINIMUM_EXTENSION_VERSION = "1.0.0"
EXTENSIONS_DIR = BASE_DIR / "extensions"
DEFAULT_APP_TYPE = "forge"
DISPATCHERS = {"forge": "dispatch.dispatchers.forge.ForgeDispatcher"}

# --- Sign-in, static files, times -----------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 8},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "queue"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 90
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
if PUBLIC_URL.startswith("https://"):
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
# What hours without a zone are meant in, and what times in sentences are told in.
TIME_ZONE = env.time_zone("MOBILESD_TIME_ZONE")

LOG_FORMAT = env.choice("MOBILESD_LOG_FORMAT", "console", logs.FORMATS)
LOG_LEVEL = env.choice("MOBILESD_LOG_LEVEL", "INFO", logs.LEVELS)
LOGGING = logs.configuration(
    log_format=LOG_FORMAT, level=LOG_LEVEL, file_bytes=10 * 1024 * 1024, files_kept=4
)
