"""Settings: the environment for what differs between places, credential files for secrets."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from config.environment import Environment
from config.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

# A build (collectstatic, makemigrations --check, compileall) has no secret and no database.
BUILDING = os.environ.get("BOOKING_BUILD", "") == "1"
env = Environment(os.environ, building=BUILDING)

RELEASE_ID = env.text("BOOKING_RELEASE_ID")
DEBUG = env.flag("BOOKING_DEBUG")
SECRET_KEY = env.signing_key("secret_key")
# While a key is renewed, what another signed counts as well: `_next` will sign soon, `_previous` did.
SECRET_KEY_FALLBACKS = env.signing_keys("secret_key_next", "secret_key_previous")
ALLOWED_HOSTS = env.hosts("BOOKING_ALLOWED_HOSTS")
TRUSTED_PROXY = env.flag("BOOKING_TRUSTED_PROXY")

# --- Code ---------------------------------------------------------------------------------------------
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "booking.core",
    "booking.accounts",
    "booking.listings",
    "booking.bookings",
    "booking.payments",
    "booking.outbox",
    "booking.pages",
]
MIDDLEWARE = [
    "booking.core.middleware.ReleaseMiddleware",  # outermost: its header is on every answer
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "booking.core.errors.DatabaseMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # bytes of a body; the largest that means something has some 6 kB
# What migrations of installed packages do to releases that do not know them: what one of ours says in its own
# file. {"app.name": {"EXPAND": reason} or {"CONTRACT_SINCE": release id}}; docs/runbooks/expand-contract.md
MIGRATIONS_DECLARED = {
    "contenttypes.0002_remove_content_type_name": {"EXPAND": "the first release came with it"},
    "auth.0011_update_proxy_permissions": {"EXPAND": "the first release came with it"},
    **{
        f"token_blacklist.{name}": {"EXPAND": "releases before it know none of its tables"}
        for name in (
            "0003_auto_20171017_2007",
            "0004_auto_20171017_2013",
            "0005_remove_outstandingtoken_jti",
            "0006_auto_20171017_2113",
            "0008_migrate_to_bigautofield",
        )
    },
}
APPEND_SLASH = False  # a redirect would turn a POST into a GET; a wrong path is 404
# Hashed by Django's default, PBKDF2: a login costs a good part of a second of a core, one more reason for
# limits. scrypt is several times cheaper for us, and wants 16 MB in each thread that checks one.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# --- Database -----------------------------------------------------------------------------------------
# Kept connections, not psycopg's pool: a worker serves one request a thread and keeps one connection a
# thread, so a host's connections are workers x threads, known beforehand; a pool would add threads and
# spare connections to each process, for every release that is up (current, new, warm). Each connection is
# checked before a request uses it, and replaced after a minute, so that a failover is followed.
# A build gets no database at all, rather than one that it could reach by mistake.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {}
    if BUILDING
    else {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env.text("BOOKING_DATABASE_HOST"),
        "PORT": env.number("BOOKING_DATABASE_PORT", 5432),
        "NAME": env.text("BOOKING_DATABASE_NAME", "booking"),
        "USER": env.text("BOOKING_DATABASE_USER", "booking"),
        "PASSWORD": env.credential("database_password"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "sslmode": env.text("BOOKING_DATABASE_SSLMODE", "verify-full"),
            "sslrootcert": env.text("BOOKING_DATABASE_SSLROOTCERT", "") or None,
            "application_name": f"booking {RELEASE_ID}",
            # A database host that vanishes must turn /readyz red within seconds, not hang it: seconds to
            # connect, milliseconds for data that is never acknowledged, seconds until a silent peer is dead.
            "connect_timeout": 2,
            "tcp_user_timeout": 3000,
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 2,
        },
    }
}

# --- Redis --------------------------------------------------------------------------------------------
REDIS_CA = env.text("BOOKING_REDIS_TLS_CA", "")
REDIS_ADDRESS = f"{env.text('BOOKING_REDIS_HOST')}:{env.number('BOOKING_REDIS_PORT', 6379)}"
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "booking.core.cache.TolerantCache",
        "LOCATION": f"{'rediss' if REDIS_CA else 'redis'}://{REDIS_ADDRESS}/0",
        "KEY_PREFIX": "booking",
        "OPTIONS": {
            "password": env.credential("redis_password"),
            # Redis is a help, never a need: one that does not answer costs half a second at most, and that
            # not at every call (booking/core/breaker.py).
            "socket_connect_timeout": 0.25,
            "socket_timeout": 0.25,
            **({"ssl_ca_certs": REDIS_CA} if REDIS_CA else {}),
        },
    }
}

# --- The broker ---------------------------------------------------------------------------------------
# Work that a request leaves behind; config/celery.py says how it is queued. Without it the outbox waits.
BROKER_CA = env.text("BOOKING_BROKER_TLS_CA", "")
BROKER = {
    "transport": "amqps" if BROKER_CA else "amqp",
    "hostname": env.text("BOOKING_BROKER_HOST"),
    "port": env.number("BOOKING_BROKER_PORT", 5671 if BROKER_CA else 5672),
    "userid": env.text("BOOKING_BROKER_USER", "booking"),
    "password": env.credential("rabbitmq_password"),
    "virtual_host": env.text("BOOKING_BROKER_VHOST", "booking"),
}

# --- The world outside --------------------------------------------------------------------------------
PUBLIC_URL = env.text("BOOKING_PUBLIC_URL").rstrip("/")  # what links in mail and the provider lead back to
OUTGOING_CA = env.text("BOOKING_OUTGOING_CA", "")  # a PEM file, trusted beside the system's authorities
CHAPA_URL = env.text("BOOKING_CHAPA_URL", "https://api.chapa.co/v1").rstrip("/")
# The origin of the pages where guests pay.
CHAPA_CHECKOUT = env.text("BOOKING_CHAPA_CHECKOUT", "https://checkout.chapa.co").rstrip("/")
# Without the first, guests pay at the place, and a booking is confirmed at once.
CHAPA_SECRET_KEY = env.optional_credential("chapa_secret_key")
CHAPA_WEBHOOK_SECRET = env.optional_credential("chapa_webhook_secret")
HOLD_MINUTES = env.number("BOOKING_HOLD_MINUTES", 15)  # how long an unpaid booking keeps its dates
GEOIP_DATABASE = env.text("BOOKING_GEOIP_DATABASE", "")  # an .mmdb file; without one no country is noted

EMAIL_BACKEND = "booking.core.mail.Backend"
EMAIL_HOST = env.text("BOOKING_EMAIL_HOST", "")  # without one no mail is sent, and the outbox keeps none
EMAIL_PORT = env.number("BOOKING_EMAIL_PORT", 587)
EMAIL_SECURITY = env.choice("BOOKING_EMAIL_SECURITY", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL_SECURITY == "starttls", EMAIL_SECURITY == "tls"
EMAIL_HOST_USER = env.text("BOOKING_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env.optional_credential("email_password")
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.text("BOOKING_EMAIL_FROM", "booking@localhost")

# --- Static files -------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = env.text("BOOKING_STATIC_ROOT", str(BASE_DIR / "build" / "static"))
# Where no web server stands before this one, it serves its files itself.
SERVE_STATIC = env.flag("BOOKING_SERVE_STATIC")
if SERVE_STATIC:
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.security.SecurityMiddleware") + 1,
        "whitenoise.middleware.WhiteNoiseMiddleware",
    )
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    },
}

# --- Sessions: of the pages and the admin; the API has tokens -----------------------------------------------
# A browser takes a cookie of such a name from this very host alone, over TLS, for the whole of it: no
# neighbour below the same domain can plant one.
COOKIE_PREFIX = "" if DEBUG else "__Host-"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}session"
SESSION_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_AGE = 14 * 24 * 3600  # seconds
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "places"

# --- Security -----------------------------------------------------------------------------------------
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY else None
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrf"
CSRF_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "booking.core.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Nothing inline, nothing from elsewhere. A form that books leads on to the provider's checkout, and browsers
# hold redirects to form-action as well.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF, CHAPA_CHECKOUT],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # Strict-Transport-Security is set by the load balancer, for static files as well
    "security.W008",  # so is the redirect to https; health checks speak http to this process
    "security.W009",  # wants 50 characters; `signing_key` refuses short keys, and 43 drawn ones hold 256 bits
]

# --- API ----------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["booking.core.parsers.BoundedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "booking.core.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "booking.core.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    # For each window of the clock: booking/core/throttles.py, booking/accounts/throttles.py.
    "DEFAULT_THROTTLE_RATES": {
        "login_address": env.rate("BOOKING_LOGINS_PER_ADDRESS", "30/minute"),
        "login_account": env.rate("BOOKING_LOGINS_PER_ACCOUNT", "20/hour"),
        "registration": env.rate("BOOKING_REGISTRATIONS_PER_ADDRESS", "60/hour"),
    },
}
# Tokens have a key of their own where one is given, renewed as Django's is (booking/accounts/signing.py).
JWT_KEYS = env.signing_keys("jwt_key")
JWT_FALLBACKS = env.signing_keys("jwt_key_next", "jwt_key_previous") if JWT_KEYS else SECRET_KEY_FALLBACKS
SIMPLE_JWT = {
    "SIGNING_KEY": JWT_KEYS[0] if JWT_KEYS else SECRET_KEY,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "ROTATE_REFRESH_TOKENS": True,  # each is good for one use
    "BLACKLIST_AFTER_ROTATION": True,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Booking service",
    "DESCRIPTION": "Hosts list places, guests book them. The day of check-out is free for the next guest.",
    "VERSION": "1.0.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "booking.core.schema.describe_alike",
    ],
    "ENUM_NAME_OVERRIDES": {
        "BookingStatus": "booking.bookings.models.Status",
        "PaymentStatus": "booking.payments.models.PaymentStatus",
    },
}

# --- Time, language, logs -----------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = env.text("BOOKING_TIME_ZONE", "UTC")
LOGGING = logging_config(release=RELEASE_ID, debug=DEBUG)

env.finish()
