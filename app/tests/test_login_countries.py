"""Logins are noted with their country, where a database tells it; without one nothing fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]
from pytest_django import Settings

from booking.accounts import countries
from booking.accounts.models import User
from tests.test_logins import ADDIS, GONDAR, login, noted

ODD: list[dict[str, Any]] = [
    {"continent": "AF"},
    {"country": "ET"},
    {"country": {"iso_code": 7}},
    {"country": {"iso_code": "ETH"}},
]


@pytest.fixture
def fresh() -> Iterator[None]:
    """A process that has opened no database yet."""
    for function in (countries.database, countries.complain):
        function.cache_clear()
    yield
    for function in (countries.database, countries.complain):
        function.cache_clear()


@pytest.fixture
def mmdb(tmp_path: Path, settings: Settings, fresh: None) -> Path:
    """A small GeoIP database, configured."""
    writer = MMDBWriter(6, "GeoLite2-Country", languages=["en"], ipv4_compatible=True)
    writer.insert_network(IPSet(["192.0.2.7/32"]), {"country": {"iso_code": "ET"}})
    writer.insert_network(IPSet(["2001:db8::/32"]), {"country": {"iso_code": "DE"}})
    for number, odd in enumerate(ODD):
        writer.insert_network(IPSet([f"198.51.100.{number}/32"]), odd)
    path = tmp_path / "country.mmdb"
    writer.to_db_file(str(path))
    settings.GEOIP_DATABASE = str(path)
    return path


@pytest.mark.parametrize(
    ("address", "country"),
    [
        (ADDIS, "ET"),
        ("2001:db8::1", "DE"),
        (GONDAR, ""),  # not in it
        (None, ""),
        *((f"198.51.100.{number}", "") for number in range(4)),
    ],
)
def test_the_country_is_that_of_the_address(mmdb: Path, address: str | None, country: str) -> None:
    assert countries.country_of(address) == country


def test_a_login_is_noted_with_its_country_by_a_database_opened_once(
    mmdb: Path, guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(guest.email)
    mmdb.unlink()  # the open one goes on serving
    login(guest.email, "wrong")
    assert [country for *_, country in noted()] == ["ET", "ET"]


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com"])
def test_a_file_that_is_missing_or_broken_is_one_line_and_never_a_failed_login(
    mmdb: Path, guest: User, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    mmdb.unlink()
    if content is not None:
        mmdb.write_bytes(content)
    assert [login(guest.email).status_code for _ in range(3)] == [200, 200, 200]
    assert [country for *_, country in noted()] == ["", "", ""]
    (line,) = [record for record in caplog.records if record.name == "booking.countries"]
    assert "BOOKING_GEOIP_DATABASE" in line.getMessage()
    assert vars(line)["file"] == str(mmdb)


def test_a_file_that_is_broken_in_its_midst_never_fails_a_login(
    mmdb: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = mmdb.read_bytes()
    for place in range(0, len(whole), 3):
        mmdb.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        countries.database.cache_clear()
        for address in (ADDIS, "2001:db8::1"):
            assert len(countries.country_of(address)) in (0, 2)
    told = [vars(record)["error"] for record in caplog.records]
    assert len(told) == len(set(told)) > 1  # each kind of damage once


def test_a_database_of_ipv4_knows_no_ipv6_and_says_nothing_of_it(
    tmp_path: Path, settings: Settings, fresh: None, caplog: pytest.LogCaptureFixture
) -> None:
    writer = MMDBWriter(4, "GeoLite2-Country")
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "ET"}})
    settings.GEOIP_DATABASE = str(tmp_path / "country.mmdb")
    writer.to_db_file(settings.GEOIP_DATABASE)
    assert [countries.country_of(address) for address in ("2001:db8::1", ADDIS)] == ["", "ET"]
    assert caplog.records == []
