"""Both engines' renderings of every inventory, byte for byte: Ansible's variables on the one side, on the other what
pyinfra goes by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from deploy import declarations, host_declarations, inventory, secrets
from deploy.declarations import View
from deploy.errors import UsageError
from deploy.hostvars import HostvarsView
from deploy.inventory import Fleet
from deploy.opened import Opened
from deploy.rendering import Renderer
from deploy.specs import STATELESS, tree
from tests import environments

PASSWORD = b"the vault's"
# What the templates of these sets need only hosts can tell.
MOMENT = {
    "keepalived_link": "eth0", "certbot_public_key": "ssh-ed25519 AAAA certificate",
    "certbot_host_keys": dict.fromkeys(("lb1", "lb2", "solo1"), "ssh-ed25519 AAAA root@host"),
}


def vault() -> VaultLib:
    return VaultLib([("default", VaultSecret(PASSWORD))])


@pytest.fixture(scope="module", params=[*inventory.environments(), "pair"])
def env(request: pytest.FixtureRequest) -> str:
    """Each environment, and the example with a second balancer by nginx, addresses that float and an issuer."""
    return str(request.param)


@pytest.fixture(scope="module", params=["encrypted", "in the clear"])
def root(env: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with that environment and drawn secrets."""
    return environments.tree(
        tmp_path_factory.mktemp("tree"), env, vault() if request.param == "encrypted" else None,
    )  # fmt: skip


def ansibles(root: Path, env: str) -> View:
    """What Ansible's plugins see in a run."""
    if VaultSecretsContext.current(optional=True) is None:
        VaultSecretsContext.initialize(VaultSecretsContext([("default", VaultSecret(PASSWORD))]))
    loader = DataLoader()
    loader.set_vault_secrets([("default", VaultSecret(PASSWORD))])
    found = InventoryManager(loader, sources=[str(root / "inventories" / env)])
    return HostvarsView(HostVars(found, VariableManager(loader, found), loader), found.get_groups_dict())


def sets(fleet: Fleet) -> Iterator[tuple[str, str, str]]:
    """Host, role and set of everything that both engines put on hosts."""
    for host in fleet.hosts:
        for role in fleet.roles(host):
            if role in STATELESS:
                for name in host_declarations.declared(role).files:
                    yield host, role, name


def test_both_engines_render_the_same_bytes(root: Path, env: str) -> None:
    fleet = inventory.load(env, root)
    one, other = ansibles(root, env), Opened(fleet, vault, root)
    asked = list(sets(fleet))
    assert len(asked) > 5
    for host, role, name in asked:
        if role == "keepalived" and not other.value(host, "loadbalancer_floating_addresses"):
            continue
        rendered = [
            host_declarations.files(role, Renderer(view, host, MOMENT), name) for view in (one, other)
        ]
        assert rendered[0] == rendered[1], f"{host}: {role}: {name}"
        for kind in (host_declarations.accounts, host_declarations.units, host_declarations.renewals):
            assert kind(role, Renderer(one, host)) == kind(role, Renderer(other, host)), f"{host}: {role}: {kind}"


def test_both_engines_see_the_same_rules_and_jobs(root: Path, env: str) -> None:
    fleet = inventory.load(env, root)
    one, other = ansibles(root, env), Opened(fleet, vault, root)
    for host in fleet.hosts:
        assert declarations.rules(one, host) == declarations.rules(other, host)
        assert declarations.crons(one, host) == declarations.crons(other, host)


def test_a_vault_password_that_does_not_fit_is_told(root: Path, env: str) -> None:
    fleet = inventory.load(env, root)
    host = next(iter(fleet.hosts))
    wrong = Opened(fleet, lambda: VaultLib([("default", VaultSecret(b"another"))]), root)
    if "$ANSIBLE_VAULT" in (root / "inventories" / env / secrets.FILE).read_text():
        with pytest.raises(UsageError, match="this vault password does not open redis_password"):
            wrong.value(host, "redis_password")
    else:
        assert len(wrong.value(host, "redis_password")) > 20


def test_templates_that_both_render_use_nothing_that_only_ansible_has() -> None:
    """The control: one of Ansible's filters is refused."""
    with pytest.raises(UsageError, match="No filter named 'to_nice_yaml'"):
        Renderer(Opened(Fleet("none", {}, {}, tree()), vault), "none").text("{{ 1 | to_nice_yaml }}")
