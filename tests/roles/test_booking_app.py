"""Role booking_app: where releases live, and what runs them."""

import json

import pytest

GROUP = "web"
HELPER = "/usr/local/sbin/booking-release"
FOLDERS = ["/srv/booking/releases", "/srv/booking/venvs", "/srv/booking/static", "/var/lib/booking"]


@pytest.mark.parametrize("path", FOLDERS)
def test_folder_belongs_to_root(host, path):
    found = host.file(path)
    assert found.is_directory
    assert found.user == "root"
    assert found.mode & 0o022 == 0


def test_sockets_are_reachable_by_the_web_server_alone(host):
    found = host.file("/run/booking")
    assert (found.user, found.group, found.mode) == ("booking", "www-data", 0o750)


def test_secrets_are_readable_by_root_alone_and_each_is_a_credential_of_the_unit(host):
    names = host.check_output("ls -A /etc/booking/credentials").split()
    assert {"secret_key", "database_password", "redis_password", "rabbitmq_password"} <= set(names)
    for name in names:
        found = host.file(f"/etc/booking/credentials/{name}")
        assert (found.user, found.mode) == ("root", 0o400), name
        assert found.size > 1, name
    unit = host.file("/etc/systemd/system/booking-web@.service").content_string.splitlines()
    loaded = {line.removeprefix("LoadCredential=") for line in unit if line.startswith("LoadCredential=")}
    assert loaded == {f"{name}:/etc/booking/credentials/{name}" for name in names}
    assert json.loads(host.file("/etc/booking/helper.json").content_string)["credentials"] == sorted(names)


def test_no_secret_is_in_the_environment(host):
    for pid in host.check_output("pgrep -u booking").split():
        environment = host.run(f"tr '\\0' '\\n' < /proc/{pid}/environ").stdout
        secret = host.file("/etc/booking/credentials/database_password").content_string.strip()
        assert secret not in environment


def test_current_release_is_what_the_web_server_talks_to(host):
    current = host.file("/srv/booking/current").linked_to
    socket = host.file("/run/booking/current.sock").linked_to
    assert current.rsplit("/", 1)[-1] == socket.rsplit("/", 1)[-1].rsplit(".", 2)[0]


def test_release_cannot_be_written_by_the_service(host):
    current = host.file("/srv/booking/current").linked_to
    assert host.run(f"runuser -u booking -- test -w {current}/manage.py").rc != 0


def test_service_is_sandboxed(host):
    listed = host.check_output("systemctl list-units --plain --no-legend 'booking-*@*.service' | cut -d' ' -f1")
    assert listed
    for unit in listed.split():
        shown = host.check_output(f"systemctl show {unit} -p NoNewPrivileges -p ProtectSystem -p PrivateTmp -p User")
        wanted = {"NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "User=booking"}
        assert set(shown.splitlines()) == wanted, unit


def test_release_that_serves_gives_way_to_nobody(host):
    """It does until it is ready, so that its start takes nothing from the one before."""
    activation = host.file("/run/booking/current.sock").linked_to.rpartition("/")[2].removesuffix(".sock")
    unit = f"booking-web@{activation}.service"
    assert host.check_output(f"systemctl show --value --property=Nice {unit}") == "5", "the control"
    main = host.check_output(f"systemctl show --value --property=MainPID {unit}")
    assert host.check_output(f"ps -L -o ni= --ppid {main} -p {main} | sort -u").split() == ["0"]
    assert host.check_output(f"cat /proc/{main}/autogroup").endswith(" nice 0")


def test_worker_gives_way_for_as_long_as_it_runs(host, fleet):
    if host.name not in [each.name for each in fleet.group("workers")]:
        assert not host.run("systemctl list-units --plain --no-legend 'booking-worker@*'").stdout
        return
    main = host.check_output("systemctl show --value --property=MainPID 'booking-worker@*'").split()
    assert main
    for process in main:
        assert host.check_output(f"ps -L -o ni= --ppid {process} -p {process} | sort -u").split() == ["5"]


def test_every_process_that_the_inventory_lists_runs_with_the_activation_that_serves(host, fleet, value):
    activation = json.loads(host.check_output(f"{HELPER} status"))["activation"]
    mine = {group for group in ("web", "workers") if host.name in [each.name for each in fleet.group(group)]}
    names = ["web", *(each["name"] for each in value("booking_app_processes") if mine & set(each["groups"]))]
    units = " ".join(f"booking-{name}@{activation}.service" for name in names)
    states = host.run(f"systemctl is-active {units}").stdout.split()
    assert dict(zip(names, states, strict=True)) == dict.fromkeys(names, "active")


def test_host_is_ready_for_a_release(host):
    facts = json.loads(host.check_output(f"{HELPER} preflight"))
    assert (facts["settings_problem"], facts["credentials_missing"]) == ("", [])


def test_nothing_that_was_begun_is_left_half_done(host):
    status = json.loads(host.check_output(f"{HELPER} status"))
    assert status["lock"] is not None or status["intent"] is None


def test_release_comes_back_at_boot(host):
    assert host.service("booking-boot").is_enabled


def test_units_of_the_service_expose_at_most_what_they_need(host, exposure):
    listed = host.check_output("systemctl list-units --plain --no-legend 'booking-*@*.service' | cut -d' ' -f1")
    assert listed
    assert {unit: found for unit in listed.split() if (found := exposure(unit)) > 1.2} == {}
    assert exposure("booking-boot.service") <= 2.0
