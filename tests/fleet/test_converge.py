"""site.yml on hosts that are converged already, and on inventories that are not sound."""

import re
import shutil

import pytest

from tests.fleet.conftest import ROOT, tool

RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


def recap(output):
    return {name: tuple(map(int, rest)) for name, *rest in RECAP.findall(output)}


def test_second_run_changes_nothing_on_any_host(env, fleet):
    done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    counts = recap(done.stdout)
    assert set(fleet.hosts) <= set(counts)
    for name, (ok, changed, unreachable, failed) in counts.items():
        assert (changed, unreachable, failed) == (0, 0, 0), f"{name}\n{changes(done.stdout)}"
        assert ok > 0


def test_drift_is_seen_and_mended(env, fleet, on):
    """The control of the test above: a run reports what was changed behind its back."""
    name = fleet.group("loadbalancers")[0].name
    assert on(name, "echo '# by hand' >> /etc/haproxy/haproxy.cfg").returncode == 0
    done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--limit", name, "--tags", "haproxy")
    assert recap(done.stdout)[name][1] > 0
    assert "by hand" not in on(name, "cat /etc/haproxy/haproxy.cfg").stdout


@pytest.fixture
def broken(tmp_path, env):
    """A copy of the sandbox's inventory to be spoilt."""
    target = tmp_path / env
    shutil.copytree(ROOT / "inventories" / env, target, symlinks=False)
    return target


def run_on(folder):
    return tool("ansible-playbook", "-i", str(folder), "site.yml")


def test_unknown_variable_is_named_with_its_file_before_any_host_is_touched(broken):
    extra = broken / "group_vars/all/30-extra.yml"
    extra.write_text("---\nhaproxy_maxcon: 500\n")
    done = run_on(broken)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{extra.name}:2" in said
    assert "haproxy_maxcon" in said
    assert "haproxy_maxconn" in said, "the name that was meant is offered"
    assert "Every host answers" not in said


def test_mistyped_variable_is_named(broken):
    (broken / "group_vars/all/30-extra.yml").write_text("---\nhaproxy_maxconn: many\n")
    done = run_on(broken)
    assert done.returncode != 0
    assert "haproxy_maxconn" in done.stdout + done.stderr
    assert "Every host answers" not in done.stdout


def test_missing_variable_is_named_with_the_file_to_put_it_in(broken):
    path = broken / "group_vars/all/10-environment.yml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "loadbalancer_domain" not in line))
    done = run_on(broken)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "loadbalancer_domain" in said
    assert "group_vars/all" in said
    assert "Every host answers" not in said


def test_host_that_does_not_answer_ends_the_run_before_anything_changes(broken, lab):
    hosts = broken / "hosts.yml"
    victim = lab.topology.group("web")[0]
    nobody = str(lab.topology.ipv4[200])
    hosts.write_text(hosts.read_text().replace(f"ansible_host: {victim.ipv4}", f"ansible_host: {nobody}"))
    done = run_on(broken)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{victim.name} ({nobody}) answers neither" in said
    assert "Nothing was changed" in said
    assert not any(changed for _, changed, _, _ in recap(done.stdout).values())
    assert "Every host is in order" not in said


def test_inventory_without_hosts_fails(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/hosts.yml").write_text("all: {hosts: {}}\n")
    done = run_on(tmp_path / "empty")
    assert done.returncode != 0


def changes(output):
    """The tasks that reported a change, for the message."""
    task, found = "", []
    for line in output.splitlines():
        task = line if line.startswith("TASK") else task
        if line.startswith("changed:"):
            found.append(f"{task.strip(' *')} {line}")
    return "\n".join(found)
