"""Role cron: the declared jobs, on every host of their groups, each time run on one."""

import json
from datetime import datetime

from deploy import declarations

GROUP = "workers"
SILENCE_SECONDS = 180  # of the jobs of every minute, while one of their hosts is up


def lines(host):
    """The lines of the crontab that call something: schedule and the rest, split."""
    text = host.file("/etc/cron.d/nexus").content_string
    found = [line for line in text.splitlines() if line and not line.startswith(("#", "SHELL=", "PATH="))]
    return [(" ".join(line.split()[:5]), line.split()[5:]) for line in found]


def test_scheduler_runs_and_comes_back_at_boot(host):
    assert host.service("cron").is_running
    assert host.service("cron").is_enabled


def test_crontab_is_what_the_roles_declare_and_nothing_else(host, fleet):
    wanted = [
        (job.schedule, ["root", "systemd-cat", f"--identifier=cron-{job.name}", "cron-once", job.name])
        for job in declarations.crons(fleet, host.name)
    ]
    assert wanted
    assert lines(host) == wanted


def test_what_is_run_can_be_changed_by_root_alone(host):
    for path in ("/etc/cron.d/nexus", "/etc/cron-once.json", "/usr/local/sbin/cron-once"):
        found = host.file(path)
        assert (found.user, found.group, found.mode & 0o022) == ("root", "root", 0), path
    assert host.run("find /usr/local/lib/cron-once ! -user root -o -perm /022 -type f").stdout == ""


def test_programs_and_users_of_the_jobs_are_there(host):
    for job in json.loads(host.file("/etc/cron-once.json").content_string)["jobs"]:
        assert host.user(job["user"]).exists, job["name"]
        assert host.run("test -x %s", job["command"].split()[0]).rc == 0, job["name"]


def test_last_claim_of_each_job_is_told_and_is_of_a_host_of_the_fleet(host, fleet):
    last = json.loads(host.check_output("cron-once --status"))
    assert set(last) == {job.name for job in declarations.crons(fleet, host.name)}
    workers = {each.name for each in fleet.group("workers")}
    for name, claim in last.items():
        assert claim is None or claim["host"] in workers, name


def test_jobs_of_every_minute_were_due_lately_where_they_can_be(host, fleet):
    """A fleet with a release, which is what they need, has run them within the last minutes."""
    last = json.loads(host.check_output("cron-once --status"))
    now = float(host.check_output("date +%s"))
    booted = now - float(host.check_output("cut -d' ' -f1 /proc/uptime"))
    for job in declarations.crons(fleet, host.name):
        needed = host.run("stat --format=%%Y %s", job.needs or "/")
        since = max(booted, float(needed.stdout)) if needed.rc == 0 else now
        if job.schedule == "* * * * *" and now - since > SILENCE_SECONDS:
            claim = last[job.name]
            assert claim, f"{job.name} has never run"
            assert now - datetime.fromisoformat(claim["slot"]).timestamp() < SILENCE_SECONDS, job.name
