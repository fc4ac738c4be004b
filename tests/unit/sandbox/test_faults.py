"""Faults: what is loaded on the machine, what is run inside the host, and that each has its way back."""

from types import SimpleNamespace

import pytest

from lab import __main__ as command
from lab import faults, network
from lab.errors import LabError
from lab.state import Lab

LAB = Lab(name="lab", clone="/clone", size="small", index=3, image="", token="t", port=8443)
WEB2 = next(host for host in LAB.topology.hosts if host.name == "web2")


@pytest.fixture
def loaded(monkeypatch):
    """The nft scripts, in order."""
    found = []
    monkeypatch.setattr(network, "load_rules", found.append)
    return found


@pytest.fixture
def ran(monkeypatch):
    """The commands run on the machine; `mountpoint` answers as the mounts of the test say."""
    found = SimpleNamespace(commands=[], mounts=0, code=0)

    def run(argv, **_):
        found.commands.append(argv)
        found.mounts += {"mount": 1, "umount": -1}.get(argv[argv.index("--") + 1], 0)
        return SimpleNamespace(returncode=found.code, stdout="", stderr="Boom" if found.code else "")

    monkeypatch.setattr(faults.cgroups, "host_init", lambda unit: 4711)
    monkeypatch.setattr(faults.subprocess, "run", run)
    monkeypatch.setattr(faults, "succeeds", lambda *_: found.mounts > 0)
    return found


def rows(script, hook):
    return [row for row in script.splitlines() if f" {hook} " in row and row.startswith("add rule")]


def test_host_is_cut_off_in_both_directions_and_by_no_address():
    """By interface, so that IPv4, IPv6 and whatever else it speaks are dropped alike."""
    script = faults.rules("nexus3")
    assert rows(script, "from")[0].endswith("iifname @cut drop")
    assert rows(script, "to")[0].endswith("oifname @cut drop")
    assert all(line.split()[2:4] == ["bridge", "nexus3"] for line in script.splitlines())


def test_cutting_off_a_second_host_leaves_the_first_cut_off():
    script = faults.rules("nexus3")
    assert "delete" not in script
    assert "flush set" not in script
    assert script.count("flush chain") == 2, "rules are not added twice"


def test_cut_off_host_is_named_by_its_own_interface(loaded):
    faults.cut(LAB, WEB2)
    assert loaded[0].endswith('add element bridge nexus3 cut { "vb-web2-3" }\n')


def test_ssh_alone_can_be_cut(loaded):
    faults.cut(LAB, WEB2, ssh_only=True)
    assert loaded[0].endswith('add element bridge nexus3 silent { "vb-web2-3" }\n')


def test_mending_a_host_that_is_whole_is_no_error(loaded):
    faults.mend(LAB, WEB2)
    tail = loaded[0].splitlines()[-4:]
    assert [row.split()[0] for row in tail] == ["add", "delete", "add", "delete"]
    assert [row.split()[4] for row in tail] == ["cut", "cut", "silent", "silent"]


def test_full_disk_is_a_small_file_system_and_not_the_machines(ran):
    faults.fill(LAB, WEB2)
    argv = ran.commands[0]
    assert argv[:2] == ["nsenter", "--target=4711"]
    assert argv[argv.index("--") + 1:] == [
        "mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "full", "/srv/booking/incoming",
    ]


def test_filling_twice_and_freeing_twice_change_nothing_more(ran):
    for act in (faults.fill, faults.fill, faults.free, faults.free):
        act(LAB, WEB2)
    assert [argv[argv.index("--") + 1] for argv in ran.commands] == ["mount", "umount"]


def test_service_is_stopped_and_started_inside_the_host(ran):
    faults.stop_service(LAB, WEB2, "nginx.service")
    faults.start_service(LAB, WEB2, "nginx.service")
    assert [argv[-3:] for argv in ran.commands] == [
        ["systemctl", "stop", "nginx.service"], ["systemctl", "start", "nginx.service"],
    ]


def test_failed_command_is_told_with_the_host(ran):
    ran.code = 1
    with pytest.raises(LabError, match="systemctl stop nginx") as caught:
        faults.stop_service(LAB, WEB2, "nginx")
    assert caught.value.where == "web2"


def test_host_that_does_not_run_is_told_how_to_boot_it(monkeypatch):
    monkeypatch.setattr(faults.cgroups, "host_init", lambda unit: None)
    with pytest.raises(LabError, match="not running") as caught:
        faults.stop_service(LAB, WEB2, "nginx")
    assert caught.value.mend == "python -m lab start web2"


def test_table_of_the_faults_goes_with_the_network(monkeypatch):
    gone = []
    monkeypatch.setattr(network, "succeeds", lambda *words: words[0] == "nft")
    monkeypatch.setattr(network, "_run", lambda *words, **_: gone.append(words))
    network.remove(LAB.topology)
    assert [words[-2:] for words in gone] == [("ip", "nexus3"), ("bridge", "nexus3")]


@pytest.mark.parametrize("name", sorted(command.FAULTS))
def test_every_fault_is_a_command_that_takes_a_host(name):
    unit = ["nginx"] if name.endswith("-service") else []
    options = command.parse([name, "web1", *unit])
    assert (options.verb, options.host) == (name, "web1")


@pytest.mark.parametrize(("made", "undone"), [
    ("crash", "start"), ("cut", "mend"), ("fill", "free"), ("stop-service", "start-service"),
])
def test_every_fault_has_its_way_back(made, undone):
    assert {made, undone} <= set(command.FAULTS)
