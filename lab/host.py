"""One host: its disk (an overlay on the image), its boot, its end."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

from lab import cgroups, image
from lab.errors import LabError, tail
from lab.network import spawn
from lab.state import Lab
from lab.topology import Host

# `reboot` inside a host makes nspawn exit with 133; anything else ends the host.
SUPERVISOR = 'while "$@"; [ $? -eq 133 ]; do :; done'
BOOT_SECONDS = 60
PROPAGATE = Path("/run/systemd/nspawn/propagate")


def is_running(lab: Lab, host: Host) -> bool:
    """Whether the host's init is alive (an orphan without its nspawn counts as running)."""
    return cgroups.host_init(lab.unit(host)) is not None


def start(lab: Lab, host: Host) -> None:
    """Boot *host* unless it runs already. Does not wait for it."""
    if is_running(lab, host) and _supervised(lab, host):
        return
    # It may run as an orphan, whose nspawn was killed: nobody would start it again after a reboot.
    end(lab, host)
    _mount(lab, host)
    _write_identity(lab, host)
    command = [
        "sh", "-c", SUPERVISOR, "sh",
        "env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
        "systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--boot",
        "--resolv-conf=off", "--link-journal=no", "--timezone=off", "--kill-signal=SIGRTMIN+3",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        f"--machine={machine_name(lab, host)}", f"--hostname={host.name}",
        f"--network-bridge={lab.topology.bridge}", f"--directory={lab.host_root(host)}",
    ]
    spawn(lab.unit(host), command, _console(lab, host))


def wait(lab: Lab, hosts: tuple[Host, ...]) -> None:
    """Wait until every host's sshd answers. Raises LabError with a host's console when one does not."""
    deadline = time.monotonic() + BOOT_SECONDS
    for host in hosts:
        while not _answers(host.ipv4):
            # A host that could not be started has left no process behind, and will not answer however long we wait.
            ended = time.monotonic() > deadline - BOOT_SECONDS + 3 and not cgroups.processes(lab.unit(host))
            if ended or time.monotonic() > deadline:
                console = _console(lab, host)
                what = "did not start" if ended else f"does not answer on port 22 after {BOOT_SECONDS} s"
                raise LabError(
                    f"{host.name} {what}\n{tail(console)}",
                    where=f"console {console}", mend="make down && make up",
                )
            time.sleep(0.05)


def end(lab: Lab, host: Host) -> None:
    """Kill the host, whatever state it is in, and unmount its disk. Its files stay."""
    cgroups.end(lab.unit(host))
    unmount(lab.host_root(host))
    # What nspawn would have removed had it not been killed. The kernel takes a dead host's interface away in its
    # own time, and until then the next host of that name cannot be started.
    name = machine_name(lab, host)
    subprocess.run(["ip", "link", "delete", f"vb-{name}"], check=False, capture_output=True)
    with contextlib.suppress(OSError):
        (PROPAGATE / name).rmdir()


def machine_name(lab: Lab, host: Host) -> str:
    """What nspawn calls the host: unique on the machine, and short enough for an interface's name."""
    return f"{host.name}-{lab.topology.index}"


def unmount(root: Path) -> None:
    """Unmount *root* as often as it is mounted, and everything below it."""
    mounts = [row.split()[1] for row in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m == str(root) or m.startswith(f"{root}/")), reverse=True):
        subprocess.run(["umount", mount], check=True, capture_output=True)


def crash(lab: Lab, host: Host) -> None:
    """End the host as a power cut would: its init is killed, nothing is written back in order."""
    pid = cgroups.host_init(lab.unit(host))
    if pid is None:
        raise LabError("the host is not running", where=host.name, mend="make up")
    cgroups.end(lab.unit(host))


def _supervised(lab: Lab, host: Host) -> bool:
    """Whether the host's nspawn still watches over it."""
    for pid in cgroups.processes(lab.unit(host)):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd-nspawn":
                return True
        except OSError:
            continue
    return False


def _mount(lab: Lab, host: Host) -> None:
    folder, root = lab.host_directory(host), lab.host_root(host)
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={image.path(lab.image)},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    done = subprocess.run(
        ["mount", "-t", "overlay", f"{lab.id}-{host.name}", "-o", layers, str(root)],
        check=False, capture_output=True, text=True,
    )
    if done.returncode:
        raise LabError(
            f"cannot mount the disk of {host.name}: {done.stderr.strip()}", where=str(root),
            mend="keep /var/lib/nexus on a file system that overlayfs can write to (ext4, xfs), then make up",
        )


def _write_identity(lab: Lab, host: Host) -> None:
    """What a provider would give a new server: name, addresses, ssh keys, a resolver."""
    root, topology = lab.host_root(host), lab.topology
    _write(root / "etc/hostname", f"{host.name}\n")
    own = f"{host.ipv4} {host.name}\n{host.ipv6} {host.name}\n"
    _write(root / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{own}")
    if not (root / "etc/machine-id").exists() or not (root / "etc/machine-id").read_text().strip():
        # An empty one would make systemd think this its first boot, and enable every service.
        _write(root / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    _write(
        root / "etc/systemd/network/10-host0.network",
        "[Match]\nName=host0\n\n[Network]\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n"
        f"Address={host.ipv4}/{topology.ipv4.prefixlen}\nAddress={host.ipv6}/{topology.ipv6.prefixlen}\n"
        f"Gateway={topology.gateway4}\n",
    )
    _write(root / "etc/resolv.conf", f"nameserver {topology.outside.ipv4}\n")
    _write(root / "root/.ssh/authorized_keys", lab.key.with_suffix(".pub").read_text(), mode=0o600)
    (root / "root/.ssh").chmod(0o700)
    for kind in ("", ".pub"):
        source = lab.directory / f"ssh/{host.name}_ed25519{kind}"
        target = root / f"etc/ssh/ssh_host_ed25519_key{kind}"
        shutil.copyfile(source, target)
        target.chmod(0o644 if kind else 0o600)


def _write(path: Path, content: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(content)
    path.chmod(mode)


def _console(lab: Lab, host: Host) -> Path:
    return lab.host_directory(host) / "console.log"


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            connection.settimeout(1)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
