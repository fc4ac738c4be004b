"""A tree of its own with one environment and drawn secrets, for tests that need every value."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible.parsing.vault import VaultLib

from deploy import secrets
from deploy.specs import ROOT

PAIR = "pair"  # the example with a second balancer by nginx, addresses that float and an issuer
PAIR_VARIABLES = """\
loadbalancer_engine: nginx
loadbalancer_floating_addresses: [192.0.2.99, "2001:db8::99"]
certbot_issuer: lb2
firewall_deny_out: true
"""


def tree(top: Path, env: str, vault: VaultLib | None) -> Path:
    """Lay one out in the empty folder `top`, which it answers. vault: encrypts the secrets; else they are in clear."""
    for name in ("roles", "templates", "deploy", "plugins", "site.yml", "ansible.cfg"):
        (top / name).symlink_to(ROOT / name)
    (top / "inventories").mkdir()
    (top / "inventories/common.yml").symlink_to(ROOT / "inventories/common.yml")
    folder = top / "inventories" / env
    shutil.copytree(ROOT / "inventories" / ("production" if env == PAIR else env), folder, symlinks=True)
    if env == PAIR:
        (folder / "hosts.yml").write_text(_pair((folder / "hosts.yml").read_text()))
        (folder / "group_vars/all/50-pair.yml").write_text(PAIR_VARIABLES)
    (folder / secrets.FILE).unlink(missing_ok=True)
    wanted = secrets.missing(folder, top)
    (folder / secrets.FILE).write_text(secrets.dump(secrets.draw(wanted), vault))
    return top


def _pair(hosts: str) -> str:
    """The example's hosts with a second balancer."""
    own = '    lb2:\n      ansible_host: 203.0.113.12\n      base_addresses: [192.0.2.12, "2001:db8::12"]\n'
    member = "        lb1: {}\n"
    return hosts.replace("    web1:\n", own + "    web1:\n", 1).replace(member, member + member.replace("1", "2"), 1)
