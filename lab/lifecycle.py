"""Raising and removing a sandbox, each as phases that can be killed anywhere and run again."""

from __future__ import annotations

import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import cgroups, host, image, inventory, keys, machine, network, outside, python
from lab.errors import LabError
from lab.progress import Progress
from lab.state import ROOT, Lab, clear, every, identify, inventory_of, load, locked, turn

TOOLS = Path(machine.python()).parent


def up(name: str, size: str | None, *, baked: bool, progress: Progress) -> Lab:
    """Raise sandbox *name* and bring it to a smoke-tested booking service; returns it.

    What is there already is kept and completed. *size* None means: as it is, else small. Raises LabError.
    """
    lab = hosts(name, size, baked=baked, progress=progress)
    with locked(lab.id, f"up {name}"):
        with progress.phase("converge: ansible-playbook site.yml"):
            converge(lab, progress)
        with progress.phase("release: fab deploy"):
            progress.run(
                [TOOLS / "fab", "deploy", "--ref", "HEAD", "--env", name], log="deploy", cwd=ROOT,
                mend=f"{_fab()} deploy --env {name}",
            )
        with progress.phase("smoke: a booking through https"):
            progress.run(
                [TOOLS / "python", "scripts/smoke", "--env", name], log="smoke", cwd=ROOT,
                mend=f".venv/bin/python scripts/smoke --env {name}",
            )
    return lab


def hosts(name: str, size: str | None, *, baked: bool, progress: Progress) -> Lab:
    """Raise the hosts of sandbox *name*, and `outside`, and leave the fleet as a provider hands it over."""
    machine.check()
    with locked(identify(name, ROOT), f"up {name}"):
        with progress.phase("machine: programs and kernel limits"):
            machine.install(progress)
            machine.raise_limits()
            reap()
        codename = machine.os_release().get("VERSION_CODENAME", "")
        with progress.phase("image: Debian 13 with the roles' packages" if baked else "image: Debian 13, bare"):
            built = image.ensure(progress, baked=baked, codename=codename)
        lab = _record(name, size, built)
        with progress.phase(f"hosts: {', '.join(h.name for h in lab.topology.hosts)}"):
            raise_hosts(lab)
        with progress.phase("outside: DNS, ACME authority, payments, mail"):
            outside.converge(lab, progress)
            outside.fetch_roots(lab)
    return lab


def raise_hosts(lab: Lab) -> None:
    """Boot what is not running, wait for ssh, open the door on localhost, write the inventory."""
    keys.ensure(lab)
    network.raise_bridge(lab.topology)
    python.write_wrapper(lab)
    for each in lab.topology.hosts:
        host.start(lab, each)
    inventory.write(lab, outside.authority(lab))
    host.wait(lab, lab.topology.hosts)
    network.open_door(lab, lab.port)


def converge(lab: Lab, progress: Progress) -> str:
    """Run site.yml on the fleet; returns Ansible's output."""
    return progress.run(
        [TOOLS / "ansible-playbook", "-i", lab.inventory, "site.yml"], log="converge", cwd=ROOT,
        mend=f".venv/bin/ansible-playbook -i inventories/{lab.name} site.yml",
    )


def down(name: str) -> bool:
    """Remove this checkout's sandbox *name* wholly; False when there was none."""
    with locked(identify(name, ROOT), f"down {name}"):
        lab = load(name)
        if lab is None:
            clear(inventory_of(name))  # of a removal that was killed
            return False
        remove(lab)
    return True


def remove(lab: Lab) -> None:
    """End every process of *lab*, then undo its mounts, network and files. What is gone already is no error."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: host.end(lab, each), lab.topology.hosts))
    cgroups.end(lab.unit("door"))
    network.remove(lab.topology)
    for folder in Path("/run/nexus").glob(f"{lab.id}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    lab.forget()
    network.restore_forwarding()


def reap() -> list[str]:
    """Remove sandboxes whose checkout is gone from the disk: nobody else ever will."""
    clear()
    orphans = [lab for lab in every() if not (Path(lab.clone) / "lab").is_dir()]
    for lab in orphans:
        remove(lab)
    return [lab.id for lab in orphans]


def _record(name: str, size: str | None, built: str) -> Lab:
    """The sandbox's record, written before anything of it exists."""
    with turn("subnets"):
        lab = load(name)
        if lab and size and lab.size != size:
            raise LabError(
                f"sandbox {name!r} is there with size {lab.size!r}", where=str(lab.directory),
                mend=f"make down LAB={name} && make up LAB={name} SIZE={size}", code=2,
            )
        # On an older image the hosts are converged all the same; the next fresh raise takes the new one.
        if lab and image.path(lab.image).is_dir():
            return lab
        if lab:
            remove(lab)
        lab = Lab(
            name=name, clone=str(ROOT), size=size or (lab.size if lab else "small"), index=network.pick_index(),
            image=built, token=secrets.token_hex(2), port=network.pick_port({other.port for other in every()}),
        )
        lab.save()
        return lab


def _fab() -> str:
    return f"{TOOLS.relative_to(ROOT) if TOOLS.is_relative_to(ROOT) else TOOLS}/fab"
