"""What follows from an inventory, for templates and declarations."""

from __future__ import annotations

from deploy import derived
from deploy.rendering import value
from tests.unit.test_rendering import Fixed


def pair(**variables: object) -> Fixed:
    """Two balancers."""
    view = Fixed(**{"base_addresses": ["192.0.2.1", "2001:db8::1"], **variables})
    view.groups = {"all": ["lb1", "lb2"], "loadbalancers": ["lb1", "lb2"]}
    return view


def test_every_name_is_documented() -> None:
    assert [name for name, function in derived.NAMES.items() if not function.__doc__] == []
    assert derived.find("nothing_of_the_kind") is None


def test_the_balancer_that_issues_is_the_named_one_else_the_first() -> None:
    assert value(pair(certbot_issuer=""), "lb2", "certbot_chosen") == "lb1"
    assert value(pair(certbot_issuer="lb2"), "lb2", "certbot_issues") is True
    assert value(pair(certbot_issuer="lb2"), "lb1", "certbot_takes") is True


def test_one_that_is_alone_hands_nothing_on() -> None:
    view = pair(certbot_issuer="")
    view.groups = {"all": ["lb1"], "loadbalancers": ["lb1"]}
    assert value(view, "lb1", "certbot_several") is False
    assert value(view, "lb1", "certbot_takes") is False


def test_the_protocol_of_the_addresses_runs_in_the_family_of_the_first() -> None:
    assert value(pair(loadbalancer_floating_addresses=["192.0.2.9"]), "lb1", "keepalived_own") == "192.0.2.1"
    assert value(pair(loadbalancer_floating_addresses=["2001:db8::9"]), "lb1", "keepalived_own") == "2001:db8::1"
    assert value(pair(loadbalancer_floating_addresses=[]), "lb1", "keepalived_floats") is False


def test_keys_of_a_rotation_are_added_each_once() -> None:
    view = Fixed(base_ops_authorized_keys=["a ", "b"], base_rotation_authorized_keys=["b", "c"])
    assert value(view, "one", "base_ops_keys") == ["a", "b", "c"]


def test_credentials_without_a_value_have_no_file() -> None:
    view = Fixed(booking_app_secret_key="s3", redis_password="r")
    found = {each["name"]: each["value"] for each in value(view, "one", "booking_app_credentials")}
    assert (found["secret_key"], found["redis_password"], found["jwt_key"]) == ("s3", "r", "")
    assert value(view, "one", "booking_app_credentials_set") == ["redis_password", "secret_key"]


def test_processes_run_where_a_group_of_theirs_is() -> None:
    view = Fixed(booking_app_processes=[{"name": "worker", "groups": ["web"]}, {"name": "other", "groups": ["mail"]}])
    assert [each["name"] for each in value(view, "one", "booking_app_own_processes")] == ["worker"]
    assert value(view, "two", "booking_app_own_processes") == []
