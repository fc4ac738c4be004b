"""Chapa's API, version 1: https://developer.chapa.co, as published in November 2026."""

from django.conf import settings

CURRENCIES = frozenset({"ETB", "USD"})


def payable(currency: str) -> bool:
    """Whether a stay in `currency` (ISO 4217) can be paid online."""
    return bool(settings.CHAPA_SECRET_KEY) and currency in CURRENCIES
