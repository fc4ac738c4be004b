"""What a machine must be, and what is said where it is not."""

from types import SimpleNamespace

import pytest

from lab import image, machine, network, state
from lab.errors import LabError

BOOKWORM = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}
ALL = (1 << 41) - 1


@pytest.fixture(autouse=True)
def fit_machine(monkeypatch, tmp_path):
    """A machine on which everything is in order; each test takes one thing away."""
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "effective_capabilities", lambda: ALL)
    monkeypatch.setattr(machine, "_may_mount", lambda: True)
    monkeypatch.setattr(machine.cgroups, "hierarchy", lambda: "unified")
    monkeypatch.setattr(machine, "LABS", tmp_path / "labs")
    monkeypatch.setattr(machine, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=machine.DISK_BYTES))


def refused(release=BOOKWORM):
    with pytest.raises(LabError) as caught:
        machine.check(release)
    assert caught.value.mend, "every refusal says what mends it"
    assert caught.value.code != 0
    return str(caught.value)


def test_fit_machine_is_accepted():
    machine.check(BOOKWORM)


@pytest.mark.parametrize(("system", "version"), [("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")])
def test_supported_systems_are_accepted(system, version):
    machine.check({"ID": system, "VERSION_ID": version})


@pytest.mark.parametrize(("system", "version"), [("debian", "11"), ("fedora", "43"), ("ubuntu", "22.04"), ("", "")])
def test_other_systems_are_named_with_those_that_do(system, version):
    said = refused({"ID": system, "VERSION_ID": version, "PRETTY_NAME": f"{system} {version}"})
    assert f"{system} {version}" in said
    assert "Debian 13" in said


def test_other_user_than_root_is_told_of_sudo(monkeypatch):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    assert "sudo make up" in refused()


def test_plain_container_is_told_what_is_missing_and_what_still_works(monkeypatch):
    monkeypatch.setattr(machine, "effective_capabilities", lambda: ALL & ~(1 << 21))
    said = refused()
    assert "CAP_SYS_ADMIN" in said
    assert "--privileged" in said
    assert "make check" in said


def test_container_that_may_not_mount_in_spite_of_its_capabilities_is_told(monkeypatch):
    monkeypatch.setattr(machine, "_may_mount", lambda: False)
    assert "permission to mount" in refused()


def test_old_control_groups_are_told_the_mount(monkeypatch):
    monkeypatch.setattr(machine.cgroups, "hierarchy", lambda: "legacy")
    assert "mount -t cgroup2" in refused()


def test_small_disk_is_told_the_figures(monkeypatch):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=1024**3))
    said = refused()
    assert "1.0 GiB free" in said
    assert "6 GiB needed" in said


def test_no_free_subnet_says_so(monkeypatch):
    answers = {"address": '[{"ifname": "eth0", "addr_info": [{"local": "10.89.0.1", "prefixlen": 16}]}]', "route": "[]"}
    monkeypatch.setattr(network, "_ip", lambda *words: answers[next(w for w in words if w in answers)])
    monkeypatch.setattr(network, "every", list)
    with pytest.raises(LabError, match="no subnet is free"):
        network.pick_index()


def test_capabilities_are_read_by_their_bits():
    assert machine.missing_capabilities(ALL) == []
    assert machine.missing_capabilities(0) == list(machine.CAPABILITIES)


@pytest.mark.parametrize(("lines", "servers"), [
    ("nameserver 192.0.2.1\nsearch x\n", ["192.0.2.1"]),
    ("nameserver 127.0.0.53\n", []),
    ("# none\n", []),
])
def test_resolvers_that_hosts_cannot_reach_are_left_out(tmp_path, lines, servers):
    (tmp_path / "resolv.conf").write_text(lines)
    assert machine.resolvers((str(tmp_path / "missing"), str(tmp_path / "resolv.conf"))) == servers


def test_image_sources_come_from_the_machines_own_mirrors():
    targets = [
        "http://mirror.example/debian/ bookworm main", "http://mirror.example/debian/ bookworm contrib",
        "http://mirror.example/debian/ bookworm-updates main", "http://mirror.example/sec/ bookworm-security main",
        "https://tools.example/apt stable main",
    ]
    assert image.sources(targets, "bookworm") == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb http://mirror.example/sec/ trixie-security main",
    ]


def test_image_is_cached_by_what_goes_into_it():
    assert image.key(["a", "b"]) == image.key(["b", "a"])
    assert image.key(["a", "b"]) != image.key(["a", "c"])
    assert set(image.packages(baked=False)) < set(image.packages(baked=True))


def test_packages_of_every_role_are_baked(tmp_path):
    (tmp_path / "web/defaults").mkdir(parents=True)
    (tmp_path / "web/defaults/main.yml").write_text("web_packages: [nginx]\nweb_port: 1\n")
    assert image.role_packages(tmp_path) == ["nginx"]


def test_lock_held_by_another_says_who(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "LOCKS", tmp_path / "locks")
    with state.locked("x", "up lab"), pytest.raises(LabError, match="up lab, process") as caught, \
            state.locked("x", "down lab"):
        pass
    assert caught.value.code == 13
    with state.locked("x", "down lab"):
        pass


def test_record_that_cannot_be_read_is_no_sandbox(tmp_path):
    (tmp_path / "lab.json").write_text("{")
    assert state.read(tmp_path) is None


def test_two_clones_never_share_a_sandbox(tmp_path):
    assert state.identify("lab", tmp_path / "a") != state.identify("lab", tmp_path / "b")


def test_machine_that_drops_what_it_forwards_lets_the_bridge_through():
    from lab.topology import build

    rules = network.forwarding(build("solo", 4))
    assert [rule[1:3] for rule in rules] == [("-i", "nexus4"), ("-o", "nexus4")]
    assert all(rule[-1] == "ACCEPT" for rule in rules)
