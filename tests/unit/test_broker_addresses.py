"""The broker's wait for its host's addresses: it would start without those that are not there yet."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.specs import ROOT

PROGRAM = ROOT / "roles/rabbitmq/files/own-addresses"
# ip(8): knows the addresses in the file `there`; one that comes up is there from the third question on
IP = """#!/bin/sh
echo "$@" >> "$ROOT/asked"
case "$*" in *"-tentative"*) ;; *) exit 1 ;; esac
[ "$(wc -l < "$ROOT/asked")" -ge 3 ] && cat "$ROOT/coming" >> "$ROOT/there"
grep -x -- "$5" "$ROOT/there"
exit 0
"""


@pytest.fixture
def wait(tmp_path: Path):  # type: ignore[no-untyped-def] # a function of addresses
    for name, text in {"ip": IP, "sleep": "#!/bin/sh\n"}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "there").write_text("192.0.2.1\n")
    (tmp_path / "coming").write_text("2001:db8::1\n")
    environ = {"ROOT": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    return lambda *addresses: subprocess.run(
        [str(PROGRAM), *addresses], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def test_an_address_that_comes_up_is_waited_for(wait, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert wait("192.0.2.1", "2001:db8::1").returncode == 0
    assert len((tmp_path / "asked").read_text().splitlines()) == 3


def test_an_address_that_does_not_come_is_named_with_where_to_correct_it(wait) -> None:  # type: ignore[no-untyped-def]
    done = wait("192.0.2.1", "192.0.2.9")
    assert done.returncode == 1
    assert done.stderr == "this host does not have the address 192.0.2.9: correct base_addresses, run site.yml\n"
