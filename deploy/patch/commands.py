"""Pure builders of the shell scripts that a host runs as root. One place, so that tests see every one there is.

A script travels on standard input and answers in sections, `== NAME` on a line of its own before each.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

UNIT = "nexus-patch.service"
FOLDER = "/var/lib/nexus-patch"
INTENT = f"{FOLDER}/intent.json"
RUN = "/run/nexus-patch"
POLICY = "/usr/sbin/policy-rc.d"
MARK = "nexus-patch"
KEEPALIVED = "keepalived.service"
PROXY = "nginx.service"
WORKERS = "booking-*@*.service"  # what runs beside the web processes; those are nobody's to stop here
SERVING = "booking-web@"
JOURNAL_LINES = 12
POLL_SECONDS = 20  # what one question may wait for its answer on the host

SURVEY = f"""
section() {{ echo; echo "== $1"; }}
section boot; cat /proc/sys/kernel/random/boot_id
section intent; cat {INTENT} 2>/dev/null
section held; apt-mark showhold
section blacklist; apt-config dump Unattended-Upgrade::Package-Blacklist
section upgrade; apt-get -s -q -y --ignore-hold --allow-change-held-packages dist-upgrade 2>&1; echo "exit $?"
section audit; dpkg --audit
section reboot; test ! -e /run/reboot-required || {{ echo asked; cat /run/reboot-required.pkgs 2>/dev/null; }}
section needrestart; needrestart -b -r l -l -k 2>/dev/null
section failed; systemctl list-units --failed --plain --no-legend --quiet | awk '{{print $1}}'
section policy; test ! -e {POLICY} || grep -q {MARK} {POLICY} || echo foreign
section lists; find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -printf '%Ts\\n' | sort -n | tail -n 1; date +%s
section upgrading; systemctl show --property=SubState --value {UNIT}
"""

# dpkg starts no service while this runs: what the packages bring is restarted once, later, by who drained the host.
# The policy holds only as long as the lock is held, so that one that a crash left behind forbids nothing.
UPGRADE = f"""#!/bin/sh
set -u
exec 9> {RUN}/lock
flock --nonblock 9 || {{ echo 'another upgrade of this kind is running'; exit 75; }}
printf '%s\\n' '#!/bin/sh' '# {MARK}: no service is restarted while packages are upgraded' \\
    'flock --nonblock --shared {RUN}/lock true 2>/dev/null && exit 0' 'exit 101' > {POLICY}
chmod 0755 {POLICY}
held=$(apt-mark showhold)
finish() {{
    rm -f {POLICY}
    test -z "$held" || apt-mark hold $held > /dev/null
}}
trap finish EXIT
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
keep='--force-confdef --force-confold'
test -z "$(dpkg --audit)" || dpkg --configure --pending $keep 9>&- || exit
apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \\
    --ignore-hold --allow-change-held-packages --no-remove dist-upgrade 9>&-
"""

REFRESH = "apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update 2>&1\n"

HEALTH = f"""
echo "== system"; timeout {POLL_SECONDS} systemctl is-system-running --wait
echo "== boot"; cat /proc/sys/kernel/random/boot_id
echo "== failed"; systemctl list-units --failed --plain --no-legend --quiet | awk '{{print $1}}'
true
"""

FINISHED = f"""
for turn in $(seq {POLL_SECONDS * 2}); do
    case $(systemctl show --property=SubState --value {UNIT}) in
        running|start|start-pre|start-post|stop|stop-sigterm) sleep 0.5 ;;
        *) break ;;
    esac
done
echo "== state"; systemctl show --property=SubState,Result,ExecMainStatus,LoadState {UNIT}
"""

# Its last request is answered when nginx has ended: it takes no new one, and says goodbye to idle connections.
QUIET_PROXY = f"""
systemctl is-active --quiet {PROXY} || exit 0
nginx -s quit 2>&1
until=$(( $(date +%s) + $1 ))
while pgrep -x nginx > /dev/null; do
    test "$(date +%s)" -lt "$until" || exit 1
    sleep 0.1
done
"""

# A worker that is told to stop ends what it has begun; what it has not acknowledged goes back to the queue.
QUIET_WORKERS = f"""
units=$(systemctl list-units --plain --no-legend --quiet '{WORKERS}' | awk '{{print $1}}' | grep -v '^{SERVING}')
test -z "$units" || systemctl stop $units
"""

FORGET = f"systemctl stop {UNIT} 2>/dev/null || true\nrm -f {INTENT}\n"
REBOOT = "systemctl --no-block reboot\n"


def begin(intent: str) -> str:
    """Write down what begins, whole and on the disk, before anything is done."""
    new = f"{FOLDER}/.intent.new"
    return (
        f"set -e; mkdir -p {FOLDER}; printf '%s\\n' {shlex.quote(intent)} > {new}\n"
        f"sync {new}; mv -T {new} {INTENT}; sync {FOLDER}\n"
    )


def upgrade() -> str:
    """Start the upgrade as a unit of the host's own: it goes on when the connection, or who made it, is gone."""
    return (
        f"set -e; mkdir -p {RUN}; cat > {RUN}/upgrade <<'END-OF-UPGRADE'\n{UPGRADE}END-OF-UPGRADE\n"
        f"systemctl stop {UNIT} 2>/dev/null || true\nsystemctl reset-failed {UNIT} 2>/dev/null || true\n"
        f"systemd-run --quiet --unit={UNIT} --property=Type=exec --property=RemainAfterExit=yes "
        f"/bin/sh {RUN}/upgrade\n"
    )


def journal(unit: str) -> str:
    """The last lines of a unit's journal."""
    return f"journalctl --quiet --no-pager --output=cat --lines={JOURNAL_LINES} --unit={shlex.quote(unit)}\n"


def units_of(packages: Iterable[str]) -> str:
    """The running services that come from packages, one a line; an instance belongs to its template."""
    return (
        "running=$(systemctl list-units --type=service --state=active --plain --no-legend --quiet | awk '{print $1}')\n"
        f'files=$(for package in {shlex.join(packages)}; do dpkg-query -L "$package" 2>/dev/null; done |'
        " sed -n 's|.*/systemd/system/\\([^/]*\\.service\\)$|\\1|p')\n"
        "for unit in $running; do\n"
        "    template=$(echo \"$unit\" | sed 's/@.*\\.service$/@.service/')\n"
        "    for file in $files; do\n"
        '        if [ "$file" = "$unit" ] || [ "$file" = "$template" ]; then echo "$unit"; break; fi\n'
        "    done\n"
        "done\n"
    )


def restart(units: Sequence[str]) -> str:
    """Restart services, one after another; says which failed."""
    return "systemctl daemon-reload\n" + "".join(
        f"systemctl restart {shlex.quote(unit)} || {{ echo {shlex.quote(unit)}; exit 1; }}\n" for unit in units
    )


def switch(verb: str, unit: str) -> str:
    """Start or stop a unit."""
    return f"systemctl {verb} {shlex.quote(unit)}\n"


def sections(text: str) -> Mapping[str, list[str]]:
    """What a script said, by section: its lines, without empty ones."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        elif line.strip():
            lines.append(line)
    return found
