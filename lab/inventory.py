"""The inventory of a sandbox: generated, because a sandbox's addresses and keys are drawn.

Everything that differs from a real fleet stands here and nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy import secrets
from deploy.specs import tree
from lab.state import ROOT, Lab, give_back
from lab.topology import DOMAIN, EXTRA_DOMAINS

ACME_HOST = "acme.test"
ACME_DIRECTORY = f"https://{ACME_HOST}:14000/dir"
CHAPA_HOST = "chapa.test"
CHAPA_PORT = 8443
MAIL_HOST = "mail.test"
MAIL_PORT = 587
# What the stand-in of the payment provider and the service share; known to all, and good for nothing else.
CHAPA_SECRET_KEY = "CHASECK_TEST-sandbox-stand-in"  # noqa: S105 - as above
CHAPA_WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105 - as above
HEADER = "# Written by `make up`; changes are lost at the next one.\n"


def hosts(lab: Lab) -> dict[str, Any]:
    """hosts.yml: every host of the fleet with its addresses, and the groups it is in."""
    topology = lab.topology
    names = sorted({group for host in topology.fleet for group in host.groups})
    return {
        "all": {
            "hosts": {
                host.name: {"ansible_host": host.ipv4, "base_addresses": [host.ipv4, host.ipv6]}
                for host in topology.fleet
            },
            "children": {
                name: {"hosts": {host.name: {} for host in topology.group(name)}} for name in names
            },
        }
    }


def variables(lab: Lab, authority: str) -> dict[str, Any]:
    """The environment's own variables. *authority*: the PEM certificate that signs the ACME server's."""
    topology = lab.topology
    public = lab.key.with_suffix(".pub").read_text().strip()
    return {
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.known_hosts} -o StrictHostKeyChecking=yes",
        "ansible_control_path_dir": f"/run/nexus/{lab.id}-{lab.token}",
        "base_bootstrap_user": "root",
        "base_ops_authorized_keys": [public],
        "base_deploy_authorized_keys": [public],
        "base_ssh_sources": [f"{topology.gateway4}/32", f"{topology.gateway6}/128"],
        # Everything that the sandbox's tests do, they do on hosts that reach only what is declared.
        "firewall_deny_out": True,
        "loadbalancer_domain": DOMAIN,
        "loadbalancer_extra_domains": list(EXTRA_DOMAINS),
        # Few, so that a test need not send many. Everybody outside of the sandbox has the gateway's address.
        "loadbalancer_requests_per_minute": 300,
        "loadbalancer_floating_addresses": list(topology.floating),
        "loadbalancer_unlimited_networks": [topology.gateway4, topology.gateway6],
        # A browser comes by the door on localhost.
        "booking_app_allowed_hosts": ["localhost"],
        "certbot_acme_directory": ACME_DIRECTORY,
        "certbot_acme_ca": authority,
        "certbot_email": "operator@example.org",
        "release_ca_file": str(acme_roots(lab)),
        "release_known_hosts_file": str(lab.known_hosts),
        "release_python": str(lab.directory / "python3.13"),
        "booking_app_chapa_url": f"https://{CHAPA_HOST}:{CHAPA_PORT}/v1",
        "booking_app_chapa_checkout": f"https://{CHAPA_HOST}:{CHAPA_PORT}",
        "booking_app_chapa_secret_key": CHAPA_SECRET_KEY,
        "booking_app_chapa_webhook_secret": CHAPA_WEBHOOK_SECRET,
        # Every client of a sandbox has one address, and the tests make users by the hundred.
        "booking_app_logins_per_address": "100000/minute",
        "booking_app_registrations_per_address": "100000/minute",
        "booking_app_email_host": MAIL_HOST,
        "booking_app_email_port": MAIL_PORT,
        "booking_app_email_from": f"Booking <booking@{DOMAIN}>",
        "booking_app_outgoing_ca": authority,
        # Durations that a person can wait for; a fleet's own are the defaults. A start takes 3 to 10 s where three web
        # servers share two cores with a load, and twice that in a slow hour of theirs.
        "release_lease_seconds": 6,
        "release_ready_seconds": 45,
        "release_connect_seconds": 3,
        "release_keep": 4,
        "booking_app_drain_seconds": 10,
        "booking_app_processes": [
            process | {"drain_seconds": 10} for process in tree().default("booking_app_processes")
        ],
    }


def acme_roots(lab: Lab) -> Path:
    """The roots that the ACME authority has had; what the sandbox's clients trust."""
    return lab.directory / "acme-roots.pem"


def write(lab: Lab, authority: str) -> None:
    """Write inventories/<name>/. Secrets are drawn once and kept; the folder is the owner's alone."""
    group_vars = lab.inventory / "group_vars/all"
    group_vars.mkdir(parents=True, exist_ok=True)
    lab.inventory.chmod(0o700)
    _write(lab.inventory / "hosts.yml", hosts(lab))
    _write(group_vars / "10-environment.yml", variables(lab, authority))
    common = group_vars / "00-common.yml"
    if not common.is_symlink():
        common.symlink_to("../../../common.yml")
    _draw_secrets(lab.inventory, group_vars / "20-secrets.yml")
    give_back(lab.inventory)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(HEADER + yaml.safe_dump(content, sort_keys=False, default_flow_style=False, width=110))


def _draw_secrets(inventory: Path, target: Path) -> None:
    """Draw the secrets that are not there yet, as a person would by `fab secrets.init`, but readable: a sandbox
    has no password to guard them with."""
    if wanted := secrets.missing(inventory, ROOT):
        before = target.read_text() if target.exists() else "# Drawn by `make up`, once.\n"
        partial = target.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(before + secrets.dump(secrets.draw(wanted), None))
        partial.rename(target)
