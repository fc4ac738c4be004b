"""Roles loadbalancer, haproxy and nginx_lb: TLS, and only web servers that answer."""

import json
import uuid

import pytest

GROUP = "loadbalancers"
CHECKS = {"haproxy": "haproxy -c -q -f /etc/haproxy/haproxy.cfg", "nginx": "nginx -t -q"}
# What `systemd-analyze security` may say of each (docs/hardening.md).
EXPOSURE = {"haproxy": 2.8, "nginx": 2.6}


@pytest.fixture
def engine(value):
    return value("loadbalancer_engine")


def test_balancer_runs_with_a_valid_configuration(host, engine):
    assert host.service(engine).is_running
    assert host.service(engine).is_enabled
    assert host.run(CHECKS[engine]).rc == 0
    assert host.service("booking-balancer-watch").is_running == (engine == "nginx")


def test_it_listens_in_both_families(host, value):
    for port in (value("loadbalancer_http_port"), value("loadbalancer_https_port")):
        assert host.socket(f"tcp://0.0.0.0:{port}").is_listening
        assert host.socket(f"tcp://:::{port}").is_listening


def test_every_web_server_is_in_rotation(host, fleet):
    said = json.loads(host.check_output("booking-balancer status"))
    assert said["servers"] == {each.name: "UP" for each in fleet.group("web")}
    assert said["drained"] == []
    assert not said["maintenance"]["on"]


def test_the_deploy_account_may_run_the_helper_and_it_is_roots(host):
    assert "(root) NOPASSWD: /usr/local/sbin/booking-balancer\n" in host.check_output("sudo -l -U deploy") + "\n"
    modules = host.check_output("ls /usr/local/lib/booking/booking_balancer/*.py").split()
    assert len(modules) > 5
    for path in ["/usr/local/sbin/booking-balancer", "/usr/local/sbin/booking-edge", "/var/lib/booking-balancer",
                 "/etc/loadbalancer/helper.json", *modules]:
        found = host.file(path)
        assert found.user == "root", path
        assert found.mode & 0o022 == 0, path


def test_the_helper_refuses_what_it_does_not_know(host):
    done = host.run("runuser -u deploy -- sudo -n /usr/local/sbin/booking-balancer drain nobody")
    assert done.rc == 2
    assert "no web server" in json.loads(done.stdout)["error"]["what"]


def test_requests_are_logged_as_json_without_what_a_log_should_not_hold(host, value):
    mark = uuid.uuid4().hex
    host.check_output(
        f"curl -sk -o /dev/null -H 'Host: {value('loadbalancer_domain')}' -H 'Authorization: Bearer secret-{mark}' "
        f"'https://127.0.0.1:{value('loadbalancer_https_port')}/seen-{mark}?token=hidden-{mark}'"
    )
    journal = "journalctl --quiet --no-pager --output cat --identifier loadbalancer --since -1min"
    host.check_output(f"timeout 10 sh -c 'until {journal} | grep -q seen-{mark}; do sleep 0.1; done'")
    lines = [line for line in host.check_output(journal).splitlines() if mark in line]
    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert (entry["path"], entry["method"], entry["status"]) == (f"/seen-{mark}", "GET", 404)
    assert entry["release"]
    assert entry["request_id"]
    assert entry["response_ms"] >= 0
    assert "hidden" not in lines[0]
    assert "secret" not in lines[0]


def test_no_request_is_left_out_of_the_log_however_many_there_are(host, engine):
    assert host.check_output("systemctl show --property LogRateLimitIntervalUSec --value " + engine) == "0"


def test_http_is_redirected(host, value):
    answer = host.check_output(
        f"curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: {value('loadbalancer_domain')}' "
        f"http://127.0.0.1:{value('loadbalancer_http_port')}/x"
    )
    assert answer == f"301 https://{value('loadbalancer_domain')}/x"


def test_old_protocols_are_refused(host, value):
    port = value("loadbalancer_https_port")
    assert host.run(f"curl -sk --tls-max 1.1 https://127.0.0.1:{port}/").rc != 0
    assert host.run(f"curl -sk --tlsv1.2 --tls-max 1.2 https://127.0.0.1:{port}/ -o /dev/null").rc == 0


def test_private_key_is_private(host):
    assert host.file("/etc/loadbalancer/certs").mode == 0o700
    assert host.file("/etc/loadbalancer/certs/site.pem").mode == 0o600


def test_the_service_runs_in_a_sandbox(engine, exposure):
    assert exposure(f"{engine}.service") <= EXPOSURE[engine]
