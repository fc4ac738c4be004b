"""The country of an address, by the GeoIP database that GEOIP_DATABASE names."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings

logger = logging.getLogger("booking.countries")


@cache
def database() -> Any:
    """The open database, opened once a process; what knows no address where there is none or it is broken."""
    if not settings.GEOIP_DATABASE:
        return {}
    import maxminddb  # late: only where it is used, and only at the first login

    try:
        # Read whole, some megabytes: a mapped file that is written over in place ends the process.
        return maxminddb.open_database(settings.GEOIP_DATABASE, maxminddb.MODE_MEMORY)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        complain(f"{type(error).__name__}: {error}")
        return {}


@cache
def complain(error: str) -> None:
    """One line a process for each thing that is wrong with the file."""
    logger.error(
        "logins are noted without a country: BOOKING_GEOIP_DATABASE names no GeoIP database that "
        "can be read; put a new file in its place and restart",
        extra={"file": settings.GEOIP_DATABASE, "error": error},
    )


def country_of(address: str | None) -> str:
    """The ISO 3166-1 code of the country that an IP address is in; "" where that is not known."""
    if address is None:
        return ""
    try:
        record = database().get(address)
    except ValueError:  # an address of IPv6 in a database of IPv4
        return ""
    except Exception as error:  # a broken file has no end of ways to fail, and no login may
        complain(type(error).__name__)
        return ""
    country = record.get("country") if isinstance(record, Mapping) else None
    code = country.get("iso_code") if isinstance(country, Mapping) else None
    return code if isinstance(code, str) and len(code) == 2 else ""
