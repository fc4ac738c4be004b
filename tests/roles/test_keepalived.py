"""Role keepalived: the floating addresses, and who may say that it has them."""

import json

GROUP = "loadbalancers"


def held(host, addresses):
    links = json.loads(host.check_output("ip -json address show"))
    own = {each["local"] for link in links for each in link.get("addr_info", [])}
    return own & set(addresses)


def test_it_runs_where_addresses_float_and_nowhere_else(host, value):
    floats = bool(value("loadbalancer_floating_addresses"))
    assert host.service("keepalived").is_running == floats
    assert host.service("keepalived").is_enabled == floats
    assert host.file("/etc/keepalived/keepalived.conf").exists == floats


def test_its_configuration_is_accepted(host, value):
    if value("loadbalancer_floating_addresses"):
        assert host.run("keepalived --config-test").rc == 0


def test_a_host_has_all_floating_addresses_or_none(host, value):
    addresses = value("loadbalancer_floating_addresses")
    assert held(host, addresses) in (set(), set(addresses))


def test_the_balancer_answers_its_check(host, value):
    if value("loadbalancer_floating_addresses"):
        assert host.run("runuser -u keepalived_script -- /usr/local/lib/booking/balancer-answers").rc == 0


def test_checks_run_as_nobody_in_particular(host, value, fleet):
    if not value("loadbalancer_floating_addresses") or len(fleet.group(GROUP)) < 2:
        return
    said = host.file("/etc/keepalived/keepalived.conf").content_string
    assert "enable_script_security" in said
    assert "script_user keepalived_script" in said
    assert host.user("keepalived_script").shell.endswith("nologin")
    for path in ("/usr/local/lib/booking/balancer-answers", "/usr/local/lib/booking"):
        assert host.file(path).user == "root"
        assert host.file(path).mode & 0o022 == 0


def test_peers_are_named_and_come_by_no_router(host, value, fleet):
    others = [each for each in fleet.group(GROUP) if each.name != host.name]
    if not value("loadbalancer_floating_addresses") or not others:
        return
    said = host.file("/etc/keepalived/keepalived.conf").content_string
    assert "vrrp_version 3" in said
    for each in others:
        own = fleet.value(each.name, "base_addresses") or [each.address]
        assert any(f"{address} min_ttl 255 max_ttl 255" in said for address in own)


def test_a_request_to_the_check_is_not_logged(host, value):
    if value("loadbalancer_floating_addresses"):
        journal = "journalctl --quiet --no-pager --output cat --since -30s -t loadbalancer"
        assert "/.well-known/balancer" not in host.check_output(journal)


def test_it_runs_in_a_sandbox(value, exposure):
    if value("loadbalancer_floating_addresses"):
        assert exposure("keepalived.service") <= 2.8
