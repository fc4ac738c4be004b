"""Role base: accounts, sshd, upgrades, journal."""

import fnmatch
import re

import pytest

from deploy import declarations

GROUP = "all"


@pytest.mark.parametrize("user", ["ops", "deploy"])
def test_account_has_no_password_and_only_declared_keys(host, value, user):
    assert host.user(user).exists
    assert host.user(user).shell == "/bin/bash"
    shadow = host.file("/etc/shadow").content_string
    assert re.search(rf"^{user}:\*:", shadow, re.M)
    keys = host.file(f"/home/{user}/.ssh/authorized_keys")
    assert keys.user == user
    assert keys.mode == 0o600
    wanted = value(f"base_{user}_authorized_keys")
    assert {line for line in keys.content_string.splitlines() if line} == set(wanted)


def test_operator_may_do_everything_and_deploy_only_its_helper(host):
    assert host.check_output("sudo -l -U ops").count("(ALL : ALL) NOPASSWD: ALL") == 1
    allowed = host.run("sudo -l -U deploy").stdout
    assert "ALL" not in re.sub(r"\(.*?\)|NOPASSWD|SETENV", "", allowed.partition("may run")[2]).split()


def test_root_and_passwords_cannot_log_in_over_ssh(host):
    said = host.check_output("sshd -T").splitlines()
    for setting in ("permitrootlogin no", "passwordauthentication no", "kbdinteractiveauthentication no",
                    "x11forwarding no", "maxauthtries 3"):
        assert setting in said
    # what another role adds, it adds by a drop-in of its own
    allowed = {line.split()[1] for line in said if line.startswith("allowusers")}
    assert {"ops", "deploy"} <= allowed
    assert {name.partition("@")[0] for name in allowed} - {"ops", "deploy"} <= {"certificate"}


def test_sshd_offers_nothing_that_a_quantum_computer_could_undo_later(host):
    said = dict(line.split(maxsplit=1) for line in host.check_output("sshd -T").splitlines() if " " in line)
    assert all(name.startswith(("mlkem", "sntrup")) for name in said["kexalgorithms"].split(","))
    assert all("etm" in name for name in said["macs"].split(","))
    assert not [name for name in said["ciphers"].split(",") if "cbc" in name or "3des" in name]
    assert said["hostkeyalgorithms"].split(",")[0] == "ssh-ed25519"


def test_strangers_who_guess_are_banned_and_operators_never(host, value):
    assert host.service("fail2ban").is_running
    assert host.service("fail2ban").is_enabled
    assert host.package("nftables").is_installed, "without it fail2ban says that it bans, and bans nothing"
    ignored = host.check_output("fail2ban-client get sshd ignoreip")
    for network in value("base_ssh_sources"):
        trusted = not re.search(r"/[0-7]$", network)
        assert (re.sub(r"/(32|128)$", "", network) in ignored) is trusted, network
    assert host.check_output("fail2ban-client get sshd maxretry") == str(value("base_ban_attempts"))
    assert host.check_output("fail2ban-client get sshd bantime") == str(value("base_ban_minutes") * 60)


def test_packages_that_a_server_has_no_use_for_are_gone(host, value):
    rows = host.check_output("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    installed = {row.split()[0] for row in rows if row.endswith(" installed")}
    assert installed & set(value("base_absent_packages")) == set()


def test_the_kernel_has_the_settings_that_this_host_may_decide(host):
    """In a container most are the machine's: a file of /proc/sys that cannot be written says so."""
    wanted = dict(
        re.match(r"-(\S+) = (.*)", line).groups()
        for line in host.file("/etc/sysctl.d/60-nexus.conf").content_string.splitlines() if line.startswith("-")
    )
    assert len(wanted) > 30
    script = 'while read -r name; do [ -w "$name" ] && echo "$name $(cat "$name")"; done; true'
    paths = {f"/proc/sys/{name.replace('.', '/')}": value for name, value in wanted.items()}
    rows = host.check_output(f"printf '%s\\n' {' '.join(paths)} | sh -c '{script}'").splitlines()
    found = {row.split(" ", 1)[0]: row.split(" ", 1)[1] for row in rows}
    assert "/proc/sys/net/ipv4/conf/all/accept_redirects" in found
    assert found == {name: paths[name] for name in found}


def test_no_program_leaves_its_memory_on_disk(host):
    assert "*       -       core    0" in host.file("/etc/security/limits.d/60-nexus.conf").content_string
    assert "DefaultLimitCORE=0" in host.file("/etc/systemd/system.conf.d/60-nexus.conf").content_string
    assert host.check_output("su -s /bin/sh deploy -c 'ulimit -c'") == "0"


def test_an_account_that_deploys_starts_no_more_processes_than_it_needs(host):
    assert host.check_output("su -s /bin/bash deploy -c 'ulimit -H -u'") == "1024"


def test_files_that_people_make_are_their_own_and_those_that_root_makes_are_as_usual(host):
    assert host.check_output("su -s /bin/sh deploy -c umask") in ("0027", "0007")
    assert host.check_output("umask") == "0022"


def test_bans_are_made_in_a_sandbox(exposure):
    assert exposure("fail2ban.service") <= 2.6


def test_sshd_listens_on_its_declared_port(host, value):
    assert host.socket(f"tcp://0.0.0.0:{value('base_ssh_port')}").is_listening
    assert host.service("ssh").is_running
    assert host.service("ssh").is_enabled


def test_security_updates_come_by_themselves(host):
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
        assert host.service(timer).is_enabled
        assert host.service(timer).is_running
    said = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in said
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in said


def test_services_that_serve_requests_are_held_from_unattended_upgrades(host, fleet):
    said = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    for package in declarations.holds(fleet, host.name):
        assert f"^{package.replace('.', '[.]').replace('*', '.*')}$" in said


def test_holds_keep_the_packages_of_this_host_that_serve_requests(host, fleet):
    """By their names as dpkg has them, so that a pattern that matches nothing is found."""
    installed = host.check_output("dpkg-query -W -f '${Package}\\n'").splitlines()
    for pattern in declarations.holds(fleet, host.name):
        if not pattern.startswith("libnginx"):
            assert fnmatch.filter(installed, pattern), pattern


def test_nothing_is_restarted_behind_the_release_engines_back(host, value):
    said = host.check_output("needrestart -b -r l 2>&1 | head -1; cat /etc/needrestart/conf.d/nexus.conf")
    assert "NEEDRESTART-VER" in said
    listed = re.search(r"\(\?!\(\?:(.*?)\)\\.service\$\)", said).group(1).replace("\\", "").split("|")
    assert set(listed) == set(value("base_restarted_after_upgrades"))
    assert not {"haproxy", "nginx", "redis-server", "rabbitmq-server", "keepalived", "patroni"} & set(listed)


def test_journal_is_kept_and_bounded(host, value):
    settings = host.file("/etc/systemd/journald.conf").content_string
    assert "Storage=persistent" in settings
    assert f"SystemMaxUse={value('base_journal_max_mib')}M" in settings
    assert f"SystemKeepFree={value('base_journal_keep_free_mib')}M" in settings
    assert f"MaxRetentionSec={value('base_journal_max_days')}day" in settings
    assert host.file("/var/log/journal").is_directory


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_time_is_kept(host):
    assert host.service("systemd-timesyncd").is_enabled
