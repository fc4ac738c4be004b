"""Role base: accounts, sshd, upgrades, journal."""

import re

import pytest

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
    assert {line for line in said if line.startswith("allowusers")} == {"allowusers ops", "allowusers deploy"}


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


def test_services_that_serve_requests_are_held_from_unattended_upgrades(host):
    said = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    for package in ("haproxy", "nginx", "postgresql", "redis", "python3"):
        assert package in said


def test_nothing_is_restarted_behind_the_release_engines_back(host):
    said = host.check_output("needrestart -b -r l 2>&1 | head -1; cat /etc/needrestart/conf.d/nexus.conf")
    assert "NEEDRESTART-VER" in said
    assert "$nrconf{restart} = 'l';" in said


def test_journal_is_kept_and_bounded(host, value):
    settings = host.file("/etc/systemd/journald.conf").content_string
    assert "Storage=persistent" in settings
    assert f"SystemMaxUse={value('base_journal_max_mib')}M" in settings
    assert host.file("/var/log/journal").is_directory


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_time_is_kept(host):
    assert host.service("systemd-timesyncd").is_enabled
