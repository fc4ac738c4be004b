"""No secret is where somebody may see it: the sandbox's real ones are looked for everywhere, and planted ones found."""

import json
import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy import secrets as drawing
from tests.fleet import canaries
from tests.fleet.certificates import Certificates
from tests.fleet.conftest import ROOT, TOOLS, tool

PROGRAM = "/run/canaries.py"


def real(lab, site=None):
    """The drawn secrets of the sandbox and its ssh key; certificates are no secrets, nor are counters. With *site* the
    keys, too, that hosts have made for themselves."""
    written = yaml.safe_load((lab.inventory / drawing.FILE).read_text())
    found = {name: value for name, value in written.items() if isinstance(value, str) and "certificate" not in name}
    assert len(found) >= 5
    return {**found, "ssh key": lab.key.read_text(), **(made(site) if site else {})}


def made(site):
    """The keys of the certificate, of the account with the authority, and of who hands the certificate on."""
    issuer = Certificates(site, site.fleet).issuer
    bundle = site.path(issuer, "/etc/loadbalancer/certs/site.pem").read_text()
    (account,) = site.path(issuer, "/etc/letsencrypt/accounts").rglob("private_key.json")
    return {
        # Its first line: the last ones hold the public half alone, which certbot's log may well tell.
        "certificate's key": re.search(r"-----BEGIN (?:EC )?PRIVATE KEY-----\n(.{64})\n", bundle)[1],
        "account's key": json.loads(account.read_text())["d"],
        "issuer's key": site.path(issuer, "/etc/certificate-issuer/key").read_text(),
    }


@pytest.fixture
def look(site, on):
    """Searches a host for secrets."""
    def search(name, wanted):
        program = Path(canaries.__file__).read_text()
        assert on(name, f"cat > {PROGRAM}", stdin=program).returncode == 0
        done = on(name, f"python3 {PROGRAM}; rm {PROGRAM}", stdin=json.dumps(wanted), timeout=300)
        assert done.returncode == 0, done.stderr
        return [tuple(hit) for hit in json.loads(done.stdout)]

    return search


def test_no_secret_is_to_be_seen_on_any_host(lab, site, fleet, fab, look):
    """After a restart and a management command, each of which handles all that the service knows."""
    assert fab("restart").returncode == 0
    assert fab("manage", "check").returncode == 0
    wanted = real(lab, site)
    found = {name: look(name, wanted) for name in fleet.hosts}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_control_a_secret_planted_in_each_kind_of_place_is_found(fleet, on, look):
    name, canary = fleet.need("web")[0].name, secrets.token_urlsafe(32)
    plants = {
        "cmdline": "systemd-run --quiet --unit=canary-argv sh -c 'sleep 600; : {}'",
        "environ": "systemd-run --quiet --unit=canary-environ --setenv=CANARY={} sleep 600",
        "properties": "systemd-run --quiet --unit=canary-unit --description={} sleep 600",
        "journal": "logger planted {}",
        "world": "umask 022; echo {} > /srv/canary",
        "log": "umask 077; echo {} > /var/log/canary",
        "ledger": "umask 077; echo {} > /var/lib/booking/canary",
        "base64": "umask 022; printf user:{} | base64 -w0 > /srv/canary64",
    }
    script = "\n".join(line.format(canary) for line in plants.values())
    try:
        assert on(name, "bash -s", stdin=script).returncode == 0
        places = " ".join(place for _, place in look(name, {"canary": canary}))
        for part in ("cmdline of", "environ of", "properties of units", "the journal", "/srv/canary ", "/srv/canary64",
                     "/var/log/canary", "/var/lib/booking/canary"):
            assert part in f"{places} ", part
    finally:
        on(name, "bash -s", stdin="systemctl stop canary-argv canary-environ canary-unit; rm -f /srv/canary* "
                                   "/var/log/canary /var/lib/booking/canary")


def test_ansible_tells_no_secret_however_much_it_is_asked_to(lab, variant):
    """-vvv and --diff, on hosts whose every secret would change: in check mode, so that none does."""
    present = real(lab)
    other = {name: secrets.token_urlsafe(32) for name in present if name not in ("ssh key", "pki_ca_key")}
    env = variant(**other)
    done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--check", "--diff", "-vvv",
                "--tags", "base,postgresql,redis,rabbitmq,booking_app")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "Secrets are in place" in done.stdout
    said = (done.stdout + done.stderr).encode()
    assert canaries.search({**present, **{f"new {k}": v for k, v in other.items()}}, [("output", said)]) == []


def test_pyinfra_tells_no_secret_however_much_it_is_asked_to(lab, site, env, fleet, variant, look):
    """Debugging, in a run that replaces every secret of a host: neither here nor on the host is anything to be seen."""
    present, name = real(lab), fleet.need("web")[0].name
    other = {each: secrets.token_urlsafe(32) for each in present if each not in ("ssh key", "pki_ca_key")}
    new = {f"new {key}": value for key, value in other.items()}
    secret_key = site.path(name, "/etc/booking/credentials/secret_key")
    try:
        changed = variant(**other)
        for options in (["--debug-facts"], ["--debug-operations"], ["--yes", "--debug-all"]):
            done = pyinfra(changed, "--limit", name, "-vvv", *options)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            said = (done.stdout + done.stderr).encode()
            assert b"python3 -" in said, "the control: it does say what it runs"
            assert canaries.search({**present, **new}, [("output", said)]) == []
        assert secret_key.read_text().strip() in other.values()
        assert look(name, new) == []
    finally:
        assert tool("fab", "provision", "--env", env, "--limit", name).returncode == 0
    assert secret_key.read_text().strip() in present.values()


def test_control_pyinfra_tells_what_is_on_a_command_line(env, fleet):
    canary = secrets.token_urlsafe(32)
    done = pyinfra(env, "--limit", fleet.need("web")[0].name, "-vvv", what=("exec", "--", "echo", canary))
    assert canaries.search({"canary": canary}, [("output", (done.stdout + done.stderr).encode())])


def pyinfra(env, *options, what=("deploy/provision/site.py",)):
    """A run of pyinfra itself on an environment."""
    return subprocess.run(
        [str(TOOLS / "pyinfra"), "deploy.inventory:fleet", *options, *what], cwd=ROOT, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, env=os.environ | {"NEXUS_ENV": env},
    )


def test_control_without_no_log_the_same_output_tells_it(env, fleet):
    canary = secrets.token_urlsafe(32)
    entry = {"files": [{"path": "/etc/canary", "content": canary}]}
    done = tool("ansible", "-i", f"inventories/{env}", fleet.need("web")[0].name, "--become", "--check", "--diff",
                "-vvv", "-m", "managed_host", "-a", json.dumps(entry))
    assert canaries.search({"canary": canary}, [("output", done.stdout.encode())])


def test_no_secret_is_in_the_repository_nor_in_what_is_built(lab):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    paths += [path for path in (ROOT / "build").rglob("*") if path.suffix not in (".zst", ".pyc")]
    places = [(str(path), path.read_bytes()) for path in paths if path.is_file()]
    assert len(places) > 300
    assert canaries.search(real(lab), places) == []


@pytest.mark.parametrize("make", ["{}", "psql://booking:{}@db", '"{}"'])
def test_control_every_shape_of_a_secret_is_known(make):
    import base64
    from urllib.parse import quote

    secret = "a+b/c=" + secrets.token_urlsafe(32)
    text = make.format(secret)
    for shape in (text, quote(text, safe=""), base64.b64encode(text.encode()).decode(), json.dumps(text)):
        assert canaries.search({"it": secret}, [("x", shape.encode())]) == [["it", "x"]], shape
