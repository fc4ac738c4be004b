"""The declarations as a playbook sees them, by the filters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from deploy.specs import ROOT
from tests.unit.specimen import ENVIRONMENT, Specimen

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.assert:
        that: ansible_inventory_sources | nexus_problems == []
        fail_msg: "{{ ansible_inventory_sources | nexus_problems }}"
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.copy:
        content: >-
          {{ {'rules': hostvars | nexus_firewall_rules(inventory_hostname, groups),
              'port': hostvars | nexus_value('db1', 'postgresql_port'),
              'shared': hostvars | nexus_value('web1', 'release_keep'),
              'web': hostvars | nexus_addresses(groups['web']),
              'first': hostvars | nexus_address('lb1')} | to_nice_yaml }}
        dest: "{{ out }}"
        mode: "0600"
      become: false
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def _play(specimen: Specimen, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugin = specimen.root / "plugins/filter/nexus.py"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text((ROOT / "plugins/filter/nexus.py").read_text())
    for module in (ROOT / "deploy").glob("*.py"):
        (specimen.root / "deploy" / module.name).symlink_to(module)
    (specimen.root / "deploy/derived").symlink_to(ROOT / "deploy/derived")
    specimen.write("play.yml", PLAY)
    specimen.write("ansible.cfg", "[defaults]\nfilter_plugins = plugins/filter\n")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventories/test", "play.yml"]
    return subprocess.run(
        [*command, *arguments],
        cwd=specimen.root,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_filters_see_the_whole_fleet_under_limit_delegation_and_become(specimen: Specimen) -> None:
    """The vault values of the specimen cannot be decrypted: a filter that read one would fail."""
    specimen.add(ENVIRONMENT, 'base_level: "{{ \'high\' }}"\nnginx_port: "{{ 8000 + 81 }}"\n')
    out = specimen.root / "out.yml"
    run = _play(specimen, "--limit", "web1:localhost", "-e", f"out={out}")
    assert run.returncode == 0, run.stdout + run.stderr
    found = yaml.safe_load(out.read_text())
    assert [(rule["port"], rule["ipv4"], rule["ipv6"]) for rule in found["rules"]] == [
        (22, ["198.51.100.0/24"], []),
        (8081, ["192.0.2.1"], ["2001:db8::1"]),
    ]
    assert (found["port"], found["shared"]) == (5432, 5)
    assert found["web"] == ["192.0.2.2", "192.0.2.3"]
    assert found["first"] == "192.0.2.1"


def test_the_first_play_stops_at_a_misspelled_variable_with_its_file_and_line(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "haproxy_maxcon: 1\n")
    run = _play(specimen, "-e", f"out={specimen.root}/out.yml")
    assert run.returncode != 0
    assert f"{ENVIRONMENT}:4: haproxy_maxcon: unknown variable; did you mean haproxy_maxconn?" in run.stdout
    assert not (specimen.root / "out.yml").exists()
