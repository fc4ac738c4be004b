"""What the fleet is for: a stay is booked, through TLS, by one guest and not by two."""

import ssl
import threading
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from deploy.client import Client


def listing(client, token):
    return client.ask("POST", "/api/v1/listings/", 201, token=token, json={
        "title": f"Room {uuid.uuid4().hex[:8]}", "description": "By the lake.", "place": "Bahir Dar",
        "price_per_night": "35.50", "currency": "ETB", "capacity": 2,
    })["id"]


def stay(place, first=30, nights=2):
    start = datetime.now(UTC).date() + timedelta(days=first)
    return {"listing": place, "check_in": str(start), "check_out": str(start + timedelta(days=nights)), "guests": 2}


def user(client):
    return client.login(f"{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex)


def test_stay_is_booked_end_to_end_through_verified_tls(client):
    host, guest = user(client), user(client)
    place = listing(client, host)
    booking = client.ask("POST", "/api/v1/bookings/", 201, token=guest, json=stay(place))
    assert booking["price_total"] == "71.00"
    mine = client.ask("GET", "/api/v1/bookings/", 200, token=guest)["results"]
    assert [each["id"] for each in mine] == [booking["id"]]
    client.ask("POST", f"/api/v1/bookings/{booking['id']}/cancel/", 200, token=guest)
    client.ask("POST", "/api/v1/bookings/", 201, token=guest, json=stay(place))


def test_certificate_is_trusted_only_by_the_authority_that_issued_it(fleet):
    """The control of every test here: a client that knows another authority refuses the connection."""
    with Client(fleet) as client:
        assert client.request("GET", "/healthz").status_code == 200
        stranger = httpx.Client(verify=ssl.create_default_context(), trust_env=False)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.get(f"https://{client.address}/healthz", extensions={"sni_hostname": client.domain})


def test_two_clients_race_for_the_same_dates_and_exactly_one_wins(fleet, soak):
    for _ in range(100 if soak else 5):
        with Client(fleet) as client:
            place = listing(client, user(client))
            tokens = [user(client) for _ in range(2)]
        statuses = race(fleet, tokens, stay(place))
        assert sorted(statuses) == [201, 409]


def test_two_clients_with_other_dates_both_win(fleet):
    """The control of the race: it is the overlap that is refused, not the second client."""
    with Client(fleet) as client:
        place = listing(client, user(client))
        tokens = [user(client) for _ in range(2)]
    assert race(fleet, tokens, stay(place, 30), stay(place, 32)) == [201, 201]


def race(fleet, tokens, *bodies):
    """Each token posts its body at the same instant, over a connection that stands already."""
    barrier = threading.Barrier(len(tokens))
    statuses = [0] * len(tokens)

    def post(number):
        with Client(fleet) as client:
            client.request("GET", "/healthz")
            barrier.wait(timeout=20)
            statuses[number] = client.request(
                "POST", "/api/v1/bookings/", token=tokens[number], json=bodies[number % len(bodies)]
            ).status_code

    threads = [threading.Thread(target=post, args=(number,)) for number in range(len(tokens))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return statuses


def test_release_that_serves_is_told_in_header_and_health(client):
    answer = client.request("GET", "/healthz")
    assert answer.json()["release"] == answer.headers["X-Release-Id"]
    assert client.request("GET", "/nowhere").headers["X-Release-Id"] == answer.headers["X-Release-Id"]


def test_api_description_is_served_with_its_page(client):
    assert client.request("GET", "/api/schema/").status_code == 200
    page = client.request("GET", "/api/docs/")
    assert page.status_code == 200
    assert "swagger" in page.text.lower()
    assets = [part.split('"')[0] for part in page.text.split('"/static/')[1:]]
    assert assets
    for asset in assets:
        assert client.request("GET", f"/static/{asset}").status_code == 200


def test_stranger_host_names_are_refused(client):
    """Health checks come under the site's own name, so that nothing has to be let through for them."""
    assert client.request("GET", "/healthz", headers={"Host": "evil.example"}).status_code == 400
