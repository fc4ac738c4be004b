"""The service's settings with the environment of the tests; the database is started by conftest.py."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_secrets = Path(tempfile.mkdtemp(prefix="booking-secrets-"))
atexit.register(shutil.rmtree, _secrets, ignore_errors=True)
for _name in ("secret_key", "database_password", "redis_password", "rabbitmq_password"):
    (_secrets / _name).write_text(f"of the tests only, {_name}, and long enough\n", encoding="utf-8")

for _variable in [name for name in os.environ if name.startswith("BOOKING_") and name != "BOOKING_SOAK"]:
    del os.environ[_variable]  # a developer's settings must not change what the tests see
os.environ |= {
    "CREDENTIALS_DIRECTORY": str(_secrets),
    "BOOKING_RELEASE_ID": "20260101T000000Z-0000000",
    "BOOKING_ALLOWED_HOSTS": "booking.example",
    "BOOKING_DATABASE_HOST": "/nowhere",  # replaced when a test asks for the database
    "BOOKING_REDIS_HOST": "127.0.0.1",
    "BOOKING_REDIS_PORT": "1",  # nobody listens there: the service has to stay up without Redis
    "BOOKING_TRUSTED_PROXY": "true",
    "BOOKING_BROKER_HOST": "127.0.0.1",
    "BOOKING_BROKER_PORT": "1",  # nor there: the outbox waits
    "BOOKING_PUBLIC_URL": "https://booking.example",
}

from config.settings import *  # noqa: E402, F403  (the environment comes first, and all settings are wanted)

# Hashing is slow by design; hashed names of static files need a collectstatic.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
