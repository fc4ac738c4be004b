"""The sandbox's payment provider, running, and a merchant that it tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.outside.payments.api import Chapa
from lab.outside.payments.server import WEBHOOK_SECRET, Server
from lab.outside.payments.webhooks import Sender, Settings
from tests.fleet.outside import Payments
from tests.unit.sandbox.merchant import Merchant, serving


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    with serving(Merchant()) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = Settings(retry_seconds=0.05, late_seconds=0.3)
    with serving(Server(Chapa(Sender(WEBHOOK_SECRET, settings)), "127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def payments(server: Server, merchant: Merchant) -> Iterator[Payments]:
    client = Payments(f"http://127.0.0.1:{server.server_address[1]}")
    client.reset()
    client.webhooks(url=f"{merchant.url}/webhook/")
    yield client
    client.reset()
