"""What the tests share: a PostgreSQL of their own, a guest, a host, a listing."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connections
from pytest_django import Settings

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.core import health
from booking.core.cache import REDIS
from booking.listings.models import Listing
from booking.outbox import broker
from booking.outbox.broker import BROKER
from booking.outbox.services import HANDLERS
from booking.payments.chapa import CHAPA
from tests.browsing import Browser, open_browser
from tests.chapa import SECRET_KEY, WEBHOOK_SECRET, Chapa
from tests.helpers import client_of, make_listing, make_user, stay
from tests.outbox import KIND
from tests.paying import URL, opened, states, tell
from tests.postgres import Cluster
from tests.redis import Redis


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(cluster: Cluster) -> None:
    """pytest-django's hook, before it makes the database: where the database is."""
    settings.DATABASES["default"]["HOST"] = str(cluster.directory)
    connections["default"].settings_dict["HOST"] = str(cluster.directory)


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """Each test begins with a process that has logged no change of health and has met no failure."""
    health.told.clear()
    for breaker in (REDIS, BROKER, CHAPA):
        breaker.failure = None


@pytest.fixture
def guest(db: None) -> User:
    """A user who books."""
    return make_user("guest@example.org")


@pytest.fixture
def host(db: None) -> User:
    """A user who lists places."""
    return make_user("host@example.org")


@pytest.fixture
def listing(host: User) -> Listing:
    """A place for four in Gondar at 80.50 EUR a night."""
    return make_listing(host)


@pytest.fixture
def birr(host: User) -> Listing:
    """A place whose price is in birr, which can be paid online."""
    return make_listing(host, currency="ETB")


@pytest.fixture(scope="session")
def provider() -> Iterator[Chapa]:
    """A running stand-in of the payment provider."""
    chapa = Chapa()
    yield chapa
    chapa.stop()


@pytest.fixture
def chapa(provider: Chapa, settings: Settings) -> Chapa:
    """The stand-in, as new, tells nothing by itself, and is where guests pay."""
    provider.control("reset")
    provider.control("webhooks", mode="off")
    settings.CHAPA_URL = f"{provider.url}/v1"
    settings.CHAPA_SECRET_KEY, settings.CHAPA_WEBHOOK_SECRET = SECRET_KEY, WEBHOOK_SECRET
    return provider


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key is beside it."""
    found = tmp_path / "ca.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(found))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    subprocess.run(["openssl", "req", "-x509", *curve, *subject, *files], check=True, capture_output=True)
    return found


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """A running Redis, empty, that the cache is kept in."""
    server = Redis()
    try:
        server.start()
        options = settings.CACHES["default"]["OPTIONS"] | {"password": None}
        default = settings.CACHES["default"] | {"LOCATION": server.location, "OPTIONS": options}
        settings.CACHES = {"default": default}
        REDIS.failure = None  # of the one before, that nobody listens at
        yield server
    finally:
        caches.close_all()
        server.remove()


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the work of each key was done."""
    counter: Counter[str] = Counter()
    monkeypatch.setitem(HANDLERS, KIND, lambda message: counter.update([message.key]))
    return counter


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was published, on a broker that takes everything and keeps nothing waiting."""
    keys: list[int] = []
    monkeypatch.setattr(broker, "publish", keys.extend)
    monkeypatch.setattr(broker, "waiting", lambda: (0, 0))
    monkeypatch.setattr(broker, "empty_dead", lambda: 0)
    return keys


@pytest.fixture
def browser(db: None) -> Browser:
    """Browsers behind the balancer: `browser()`, or `browser(user)` for one that is signed in."""
    return open_browser


@pytest.fixture
def held(chapa: Chapa, guest: User, birr: Listing) -> Booking:
    """A booking of two nights that waits for 161.00 birr."""
    assert client_of(guest).post(URL, stay(birr)).json()["status"] == "pending"
    return Booking.objects.get()


@pytest.fixture
def paid(held: Booking, chapa: Chapa) -> Booking:
    """A booking that is confirmed and paid."""
    payment = opened(held)
    chapa.press(payment.checkout_url)
    tell(payment.reference)
    assert states(held) == ("confirmed", ["paid"])
    return held


@pytest.fixture
def cancelled(paid: Booking, chapa: Chapa) -> Booking:
    """A booking that was paid, and cancelled while the provider was down."""
    chapa.control("down")
    answer = client_of(paid.guest).post(f"{URL}{paid.pk}/cancel/")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    return paid
