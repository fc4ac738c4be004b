"""The WSGI application, whole before gunicorn forks: routes, migrations on disk, manifest of static files."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

if settings.BUILDING:
    raise ImproperlyConfigured("BOOKING_BUILD is set: its placeholders for secrets must not serve; unset it")

application = get_wsgi_application()

# Routes are otherwise imported by the first request of each worker: late, and once a worker.
import_module(settings.ROOT_URLCONF)
import_module("booking.core.health").needed_migrations()

# What exists now is shared between the workers as long as nobody writes to it; the collector writes to
# every object it visits, so it is told to leave these alone.
gc.collect()
gc.freeze()
