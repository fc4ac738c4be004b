"""Hosts that go away and come back: the service returns by itself."""

import pytest

from tests.fleet.conftest import wait_until

RETURN_SECONDS = 60


def in_rotation(on, fleet):
    balancer = fleet.group("loadbalancers")[0].name
    said = on(balancer, "python3 -c \"import socket;s=socket.socket(socket.AF_UNIX);"
                        "s.connect('/run/haproxy/admin.sock');s.sendall(b'show stat -1 4 -1\\n');"
                        "print(b''.join(iter(lambda:s.recv(65536),b'')).decode())\"").stdout
    rows = [row.split(",") for row in said.splitlines() if row and not row.startswith("#")]
    return rows and all(row[17] == "UP" for row in rows) and len(rows) == len(fleet.group("web"))


@pytest.mark.parametrize("name", ["lb1", "web1", "web2", "db1", "ops1"])
def test_service_returns_by_itself_after_a_reboot(name, on, fleet, client):
    release = client.ask("GET", "/healthz", 200)["release"]
    boot = on(name, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic "
                    "--value; stat -c %Y /proc/1").stdout
    on(name, "systemctl reboot")

    def rebooted():
        now = on(name, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic "
                       "--value; stat -c %Y /proc/1")
        return now.returncode == 0 and now.stdout != boot

    wait_until(rebooted, RETURN_SECONDS, f"the reboot of {name}")
    wait_until(lambda: in_rotation(on, fleet), RETURN_SECONDS, "every web server in rotation")

    def serves():
        answer = client.request("GET", "/readyz")
        return answer.status_code == 200 and answer.json()["status"] == "ready"

    wait_until(serves, RETURN_SECONDS, "a ready answer")
    assert client.ask("GET", "/healthz", 200)["release"] == release
    failed = wait_until(
        lambda: on(name, "systemctl is-system-running --wait").stdout.strip(), RETURN_SECONDS, "the end of the boot"
    )
    assert failed == "running", on(name, "systemctl --failed").stdout
