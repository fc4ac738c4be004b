"""Secrets are renewed under load: no request is lost, old and new count in between, and the old are refused after."""

import shutil
import subprocess
import uuid
from http.cookies import SimpleCookie

import pytest
import yaml

from deploy import secrets as drawing
from deploy.client import Client
from deploy.logins import name as login_name
from tests.fleet.conftest import tool
from tests.fleet.load import Load, describe

RATE = 20  # of a machine that converges five hosts at the same time
PASSWORDS = {"database": "postgresql", "broker": "rabbitmq", "cache": "redis"}


class Held:
    """What somebody holds who was let in by the present secrets."""

    def __init__(self, lab, fleet, tmp_path):
        written = yaml.safe_load((lab.inventory / drawing.FILE).read_text())
        self.passwords = {kind: written[f"{role}_password"] for kind, role in PASSWORDS.items()}
        self.logins = {kind: login_name("booking", written.get(f"{role}_generation", 0))
                       for kind, role in PASSWORDS.items()}
        self.key = tmp_path / f"key-{uuid.uuid4().hex[:6]}"
        shutil.copy2(lab.key, self.key)
        with Client(fleet) as client:
            self.email, self.password = f"held-{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex
            self.token = client.login(self.email, self.password)
            self.session, self.unseen = (session(client, self.email, self.password) for _ in range(2))


def session(client, email, password):
    """The session cookie of somebody who signed in by the pages."""
    form = client.request("GET", "/login/")
    cookies = SimpleCookie(form.headers["set-cookie"])
    csrf = form.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    answer = client.request("POST", "/login/", data={"username": email, "password": password,
                            "csrfmiddlewaretoken": csrf}, headers={
        "Cookie": "; ".join(f"{key}={each.value}" for key, each in cookies.items()),
        "Referer": f"https://{client.domain}/login/"})
    assert answer.status_code == 302, answer.text[:300]
    found = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        found.load(line)
    return found["__Host-session"].value


@pytest.fixture(scope="module", autouse=True)
def strangers_host(lab, site):
    """`outside` is no host of the fleet, so that nobody tells it of a new key: afterwards it knows the present one."""
    yield
    site.path("outside", "/root/.ssh/authorized_keys").write_text(lab.key.with_suffix(".pub").read_text())


@pytest.fixture
def accepted(fleet, on, lab):
    """Which of the things somebody holds let them in: {kind: bool}."""
    database, cache, broker = (fleet.need(group)[0].name for group in ("database", "cache", "broker"))
    web = fleet.need("web")[0].name

    def ask(held, unseen=False):
        script = (f"set -a; . /etc/booking/environment; PGPASSWORD={held.passwords['database']} psql -Atqc 'SELECT 1' "
                  f'"host=$BOOKING_DATABASE_HOST dbname=$BOOKING_DATABASE_NAME user={held.logins["database"]} '
                  'sslmode=verify-full sslrootcert=$BOOKING_DATABASE_SSLROOTCERT"')
        redis = (f"REDISCLI_AUTH={held.passwords['cache']} redis-cli --no-auth-warning --tls --insecure "
                 f"-p {fleet.value(cache, 'redis_port')} ping")
        ssh = ["ssh", "-i", str(held.key), "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={lab.known_hosts}",
               "-o", "BatchMode=yes", "-o", "ControlPath=none", "-o", "LogLevel=ERROR"]
        with Client(fleet) as client:
            token = client.request("GET", "/api/v1/bookings/", token=held.token)
            cookie = held.unseen if unseen else held.session
            page = client.request("GET", "/stays/", headers={"Cookie": f"__Host-session={cookie}"})
        return {
            "database": on(web, "sh -s", stdin=script).stdout.strip() == "1",
            "cache": "PONG" in on(cache, "sh -s", stdin=redis).stdout,
            "broker": "Success" in on(broker, f"rabbitmqctl authenticate_user {held.logins['broker']} "
                                              f"-- {held.passwords['broker']}").stdout,
            "jwt": {200: True, 401: False}[token.status_code],
            "django": {200: True, 302: False}[page.status_code],
            "ssh": {subprocess.run([*ssh, f"{user}@{fleet.hosts[host].address}", "true"], check=False,
                                   stdin=subprocess.DEVNULL).returncode == 0
                    for user in ("ops", "deploy") for host in (web, database)} == {True},
        }

    return ask


def test_rotation_under_load_loses_no_request_and_the_old_is_refused_afterwards(
    fleet, lab, env, fab, site, accepted, tmp_path
):
    old = Held(lab, fleet, tmp_path)
    assert set(accepted(old).values()) == {True}
    with Load(fleet, RATE) as load:
        done = fab("secrets.rotate")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        load.settle()
        assert load.failures == [], describe(load.results)
        new = Held(lab, fleet, tmp_path)
        assert not set(old.passwords.values()) & set(new.passwords.values())
        assert set(accepted(old).values()) == {True}, "in between the old counts"
        assert set(accepted(new).values()) == {True}, "as does the new"
        load._renew()  # whoever holds a token of the old key gets another while it is good
        again = fab("secrets.forget")
        assert again.returncode == 0, again.stdout[-3000:] + again.stderr
        load.settle()
    assert load.failures == [], describe(load.results)
    assert set(accepted(old, unseen=True).values()) == {False}, "each kind of the old is refused"
    assert set(accepted(new).values()) == {True}
    for secret in (*old.passwords.values(), *new.passwords.values()):
        assert secret not in done.stdout + done.stderr + again.stdout + again.stderr
    assert not list(lab.key.parent.glob("id_ed25519.*[!b]")), "no old key is left"
    assert site.sql("SELECT count(DISTINCT usename) FROM pg_stat_activity WHERE usename LIKE 'booking%'") == "1"
    assert site.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == "booking"
    unchanged = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml",
                     "--tags", "base,postgresql,redis,rabbitmq,booking_app")
    assert unchanged.returncode == 0
    assert " changed=0 " in unchanged.stdout
    assert not [line for line in unchanged.stdout.splitlines() if "changed=" in line and "changed=0" not in line]
    assert f"fab secrets.forget --env {env}" in done.stdout


def test_warm_release_with_old_secrets_is_started_anew_by_a_rollback(fab, fresh_commit, client, env):
    """A web server that stays warm knows passwords that are refused by now."""
    before = client.ask("GET", "/healthz", 200)["release"]
    assert fab("deploy", "--ref", fresh_commit("before a rotation")).returncode == 0
    assert fab("secrets.rotate", "--only", "database").returncode == 0
    assert fab("secrets.forget", "--only", "database").returncode == 0
    done = fab("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.ask("GET", "/readyz", 200) is not None
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_control_a_plain_change_and_a_restart_lose_requests(fleet, lab, env, fab):
    file = lab.inventory / drawing.FILE
    fresh = drawing.draw(each for each in [drawing.Secret("booking_app_jwt_key", "token"),
                                           drawing.Secret("postgresql_password", "token")])
    text = file.read_text()
    written = yaml.safe_load(text)
    with Load(fleet, RATE) as load:
        for name, value in fresh.items():
            text = text.replace(written[name], value)
        file.write_text(text)
        done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--tags", "postgresql,booking_app")
        assert done.returncode == 0, done.stdout[-3000:]
        assert fab("restart").returncode == 0
        load.settle()
    assert any(result.status == 401 for result in load.failures)
