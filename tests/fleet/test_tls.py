"""What scanners that know nothing of us say of the balancers' TLS, of both engines."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

import pytest

from lab import outside
from lab.state import Lab
from tests import programs
from tests.fleet.balancers import Balancers
from tests.fleet.conftest import Done

SSLYZE = programs.SCANNERS / "bin/sslyze"
# testssl.sh gives a grade only where it may look at everything, which is minutes on a busy machine.
TESTSSL_SECONDS = 900
ROOTS = "/root/scanned-by.pem"


# What is the authority's own: the sandbox's signs with RSA alone. Let's Encrypt signs a key on a curve with its own on
# one (letsencrypt.org/certificates, "E7").
AUTHORITYS = {"certificate_signatures"}


def differences(lab: Lab, balancers: Balancers, name: str, profile: str) -> dict[str, str]:
    """In what a balancer's TLS differs from a profile of Mozilla's, as sslyze sees it: {what: how}."""
    door = balancers.doors[name]
    done = subprocess.run(
        [SSLYZE, f"--mozilla_config={profile}", "--certinfo", f"--certinfo_ca_file={outside.acme_roots(lab)}",
         f"--sni={door.domain}", f"{door.domain}:{door.port}{{{door.address}}}"],
        capture_output=True, text=True, check=False, timeout=300,
    )
    verdict = done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    assert f'"{profile}" configuration' in verdict, done.stdout + done.stderr
    found = dict(re.findall(r"^\s+\* (\w+): (.*)$", verdict, re.MULTILINE))
    assert (done.returncode == 0) == ("OK - Compliant" in verdict) == (not found), verdict
    return found


def test_sslyze_finds_mozillas_profile_on_every_balancer(engine: str, lab: Lab, balancers: Balancers) -> None:
    """The last balancer has the modern profile meanwhile, the others the intermediate one."""
    *others, modern = balancers.names
    for name in others:
        assert differences(lab, balancers, name, "intermediate") == {}, name
    found = differences(lab, balancers, modern, "modern")
    assert set(found) <= AUTHORITYS, found


def test_sslyze_tells_the_profiles_apart(engine: str, lab: Lab, balancers: Balancers) -> None:
    """The control of the test above."""
    assert "tls_versions" in differences(lab, balancers, balancers.names[0], "modern")


@pytest.fixture
def trusting(lab: Lab, on: Callable[..., Done]) -> Callable[[str, str], dict[str, str]]:
    """Has `outside` scan an address with testssl.sh, trusting the sandbox's authority or nobody new."""

    def scan(domain: str, address: str, roots: str = outside.acme_roots(lab).read_text()) -> dict[str, str]:
        script = (
            f"cat > {ROOTS}; export TERM=dumb; cd /root; testssl --quiet --color 0 --warnings off --overwrite "
            f"$(test -s {ROOTS} && echo --add-ca {ROOTS}) --jsonfile scanned.json --ip {address} https://{domain} >&2; "
            f"cat scanned.json; rm -f scanned.json {ROOTS}"
        )
        done = on("outside", script, stdin=roots, timeout=TESTSSL_SECONDS)
        assert done.stdout, done.stderr[-2000:]
        return {each["id"]: each["finding"] for each in json.loads(done.stdout)}

    return scan


def test_testssl_grades_a_plus(
    engine: str, balancers: Balancers, trusting: Callable[..., dict[str, str]]
) -> None:
    door = balancers.doors[balancers.names[0]]
    found = trusting(door.domain, door.address)
    reasons = {name: text for name, text in found.items() if name.startswith("grade_cap")}
    assert found["overall_grade"] == "A+", reasons
