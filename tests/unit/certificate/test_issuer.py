"""certificate-issuer: one account, one lineage, and every balancer in step with it."""

from __future__ import annotations

import json

import pytest

from tests.unit.certificate.conftest import DIRECTORY, NAMES


def test_the_thumbprint_is_that_of_rfc_7638(act) -> None:  # type: ignore[no-untyped-def] # makes it importable
    from certificate_issuer.acme import thumbprint

    n = ("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4"
         "n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgd"
         "AZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
         "kEgU8awapJzKnqDKgw")
    key = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_account_is_registered_once(issuer, act) -> None:  # type: ignore[no-untyped-def]
    first, second = act("account"), act("account")
    assert json.loads(first.out)["registered"]
    assert not json.loads(second.out)["registered"]
    assert json.loads(first.out)["thumbprint"] == json.loads(second.out)["thumbprint"]
    assert issuer.lines("asked") == ["register"]
    assert "secret" not in first.out


def test_a_check_tells_what_would_be_registered_and_asks_nobody(issuer, act) -> None:  # type: ignore[no-untyped-def]
    found = act("--check", "account")
    assert (json.loads(found.out), issuer.lines("asked")) == ({"thumbprint": "", "registered": True}, [])
    thumbprint = json.loads(act("account").out)["thumbprint"]
    assert json.loads(act("--check", "account").out) == {"thumbprint": thumbprint, "registered": False}
    assert issuer.lines("asked") == ["register"]


def test_a_check_tells_whether_a_certificate_would_be_issued_or_handed_on(issuer, act) -> None:  # type: ignore[no-untyped-def]
    assert act("--check", "issue").out == "changed", "there is none"
    issuer.issued()
    before = issuer.serving()
    assert act("--check", "issue").out == "changed", "not every balancer serves it"
    assert (issuer.serving(), issuer.lines("asked"), issuer.lines("handed")) == (before, [], [])
    act("issue")
    assert act("--check", "issue").out == "unchanged"
    issuer.issued(days=29)
    assert act("--check", "issue").out == "changed", "it would be renewed"


def test_a_refusal_of_the_authority_is_told_with_its_words(issuer, act) -> None:  # type: ignore[no-untyped-def]
    (issuer.root / "refuse").touch()
    done = act("account")
    assert done.code == 1
    assert "the authority refuses" in done.err
    assert DIRECTORY in done.err


def test_every_balancer_gets_what_was_issued_and_a_second_run_changes_nothing(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued()
    assert len(set(issuer.serving().values())) == 1
    assert (act("issue").out, act("issue").out) == ("changed", "unchanged")
    assert set(issuer.serving().values()) == {(issuer.root / "issued.pem").read_text().partition("-----END")[0]}
    assert len(issuer.lines("handed")) == 3
    assert issuer.lines("asked") == []


def test_a_balancer_that_refuses_is_named_and_does_not_stop_the_others(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued()
    (issuer.root / "refuse-127.0.0.2").touch()
    done = act("reconcile")
    assert done.code == 1
    assert "two: not today" in done.err
    assert "three" not in done.err
    served = issuer.serving()
    assert served["127.0.0.1"] == served["127.0.0.3"] != served["127.0.0.2"]
    metrics = (issuer.root / "metrics/certificate_issuer.prom").read_text()
    assert 'booking_certificate_in_step{balancer="two"} 0' in metrics
    assert 'booking_certificate_in_step{balancer="three"} 1' in metrics

    (issuer.root / "refuse-127.0.0.2").unlink()
    done = act("reconcile")
    assert (done.code, done.out) == (0, "handed to two")
    assert len(set(issuer.serving().values())) == 1


def test_a_balancer_that_takes_and_serves_another_all_the_same_is_a_failure(issuer, act) -> None:  # type: ignore[no-untyped-def]
    """The serial is what is served, not what was said."""
    issuer.issued()
    (issuer.root / "bin/ssh").write_text("#!/bin/sh\ncat > /dev/null\necho changed\n")
    done = act("reconcile")
    assert done.code == 1
    assert "two: port" in done.err
    assert "serves another certificate, or none" in done.err


def test_a_balancer_that_is_down_is_a_failure_that_names_it(issuer, act) -> None:  # type: ignore[no-untyped-def]
    import socket

    issuer.issued()
    down = next(each for each in issuer.balancers if each.address == "127.0.0.3")
    down.sock.shutdown(socket.SHUT_RDWR)
    down.sock.close()
    done = act("hand-on")
    assert done.code == 1
    assert "three:" in done.err
    assert "two:" not in done.err


@pytest.mark.parametrize(
    ("renewal", "option"),
    [
        ({}, ""),
        ({"server": "https://acme-staging.example.org/dir"}, "--force-renewal"),
        ({"key_type": "rsa"}, "--force-renewal"),
        ({"renew_hook": "/usr/local/sbin/another"}, "--force-renewal"),
    ],
)
def test_another_directory_kind_of_key_or_hook_has_it_issued_anew(issuer, act, renewal, option) -> None:  # type: ignore[no-untyped-def]
    issuer.issued(**renewal)
    act("issue")
    assert [option in line for line in issuer.lines("asked")] == ([True] if option else [])


@pytest.mark.parametrize("names", [NAMES[:1], [*NAMES, "old.example.org"]])
def test_names_that_came_or_went_have_it_issued_for_all(issuer, act, names) -> None:  # type: ignore[no-untyped-def]
    issuer.issued(*names)
    act("issue")
    (asked,) = issuer.lines("asked")
    assert "--renew-with-new-domains" in asked
    assert asked.endswith("--domain booking.example.org --domain www.example.org")


def test_a_certificate_that_ends_within_thirty_days_is_renewed_by_site_yml_too(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued(days=29)
    act("issue")
    assert len(issuer.lines("asked")) == 1


def test_who_is_not_the_issuer_issues_and_hands_on_nothing(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued()
    issuer.configure(issuer=False, peers=[])
    for name in ("account", "issue", "reconcile", "hand-on"):
        done = act(name)
        assert done.code == 1
        assert "another balancer issues" in done.err
    assert issuer.lines("asked") == issuer.lines("handed") == []


def test_the_bundle_is_on_standard_input_and_the_host_key_is_checked(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued()
    act("reconcile")
    calls = [line for line in issuer.lines("handed") if line.startswith("ssh ")]
    assert len(calls) == 2
    for call in calls:
        assert "StrictHostKeyChecking=yes" in call
        assert "GlobalKnownHostsFile=/dev/null" in call
        assert "PRIVATE" not in call
        assert call.split()[-1].startswith("certificate@127.0.0.")


def test_a_balancer_tells_what_it_serves(issuer, act) -> None:  # type: ignore[no-untyped-def]
    said = '{"serial": "0A", "not_after": 1790000000, "names": ["a"]}'
    (issuer.root / "bin/booking-edge").write_text(f"#!/bin/sh\necho '{said}'\n")
    assert act("metric").code == 0
    path = issuer.root / "metrics/certificate.prom"
    assert 'booking_certificate_not_after_seconds{serial="0A"} 1790000000\n' in path.read_text()
    assert "\nbooking_certificate_served 1\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644

    (issuer.root / "bin/booking-edge").write_text("#!/bin/sh\nexit 1\n")
    assert act("metric").code == 1
    assert "booking_certificate_served 0\n" in path.read_text()
    assert "not_after" not in path.read_text()


def test_who_issues_no_more_tells_no_more_of_others(issuer, act) -> None:  # type: ignore[no-untyped-def]
    issuer.issued()
    act("reconcile")
    issuer.configure(issuer=False, peers=[])
    act("metric")
    assert not (issuer.root / "metrics/certificate_issuer.prom").exists()


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["issue", "now"]])
def test_what_is_no_act_is_a_wrong_argument(act, argv) -> None:  # type: ignore[no-untyped-def]
    done = act(*argv)
    assert done.code == 2
    assert done.err.startswith("usage: certificate-issuer account|issue|hand-on|reconcile|metric")
