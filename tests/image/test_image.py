"""The service's image: built from app/Dockerfile, run as nobody with a read-only root, with its own static files.

Docker's daemon is started for it alone, without bridge and firewall rules; the base is the sandbox's, as any Debian 13
may be.
"""

import io
import secrets
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import docker
import httpx
import pytest

from lab import image

ROOT = Path(__file__).resolve().parents[2]
PORT = 18000
SECONDS = 60
SECRETS = ("secret_key", "database_password", "redis_password", "rabbitmq_password")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# What a container does not need, and what makes the import long.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/lib/postgresql", "usr/lib/erlang", "usr/lib/rabbitmq")


@pytest.fixture(scope="module")
def daemon():
    """A client of a Docker of its own."""
    with tempfile.TemporaryDirectory(prefix="nexus-docker-", dir="/var/tmp") as folder:
        path = Path(folder)
        log = path / "log"
        address = f"unix://{path}/docker.sock"
        with log.open("w") as written:
            server = subprocess.Popen(
                ["dockerd", f"--data-root={path}/data", f"--exec-root={path}/exec", f"--pidfile={path}/pid",
                 f"--host={address}", "--bridge=none", "--iptables=false", "--ip6tables=false"],
                stdout=written, stderr=subprocess.STDOUT,
            )
        try:
            client = wait(lambda: docker.DockerClient(address, timeout=300), "Docker's daemon", log.read_text)
            yield client
            client.close()
        finally:
            server.terminate()
            server.wait(timeout=SECONDS)
            # It leaves the folder that held its containers' network namespaces mounted, and its data where it had to
            # make a mount of them.
            for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
                if line.split()[1].startswith(folder):
                    subprocess.run(["umount", "--lazy", line.split()[1]], check=True)


def wait(check, what, told):
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if found := check():
                return found
        except (OSError, httpx.HTTPError, docker.errors.DockerException):
            pass
        assert time.monotonic() < deadline, f"{what} did not come up:\n{told()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def built(daemon):
    """The image, on the sandbox's Debian 13 with the authorities that this machine trusts."""
    names = image.packages(baked=True)
    root = image.path(image.key(names))
    assert root.is_dir(), f"{root} is not there: make up builds the sandbox's image"
    words = [f"--exclude=./{folder}" for folder in LEFT_OUT]
    with subprocess.Popen(["tar", "-C", str(root), *words, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        daemon.api.import_image_from_stream(tar.stdout, repository="debian-bare")
    context = {"Dockerfile": b"FROM debian-bare\nCOPY ca.crt /etc/ssl/certs/ca-certificates.crt\n",
               "ca.crt": AUTHORITIES.read_bytes()}
    daemon.images.build(fileobj=_tar(context), custom_context=True, tag="debian-13")
    found, _ = daemon.images.build(
        path=str(ROOT / "app"), buildargs={"BASE_IMAGE": "debian-13", "BOOKING_RELEASE_ID": "20260101T000000Z-0000000"},
        network_mode="host", tag="booking",
    )
    return found


def _tar(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    content.seek(0)
    return content


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """What a container needs: a database of its own, secrets, an address."""
    folder = tmp_path_factory.mktemp("secrets")
    folder.chmod(0o755)
    for name in SECRETS:
        (folder / name).write_text(secrets.token_urlsafe(32))
        (folder / name).chmod(0o444)
    command = [str(ROOT / "app/.venv/bin/python"), "-m", "tests.postgres"]
    database = subprocess.Popen(command, cwd=ROOT / "app", stdout=subprocess.PIPE, text=True)
    try:
        where = Path(database.stdout.readline().strip().partition("=")[2])
        where.chmod(0o711)  # the socket in it is everybody's
        yield {
            "environment": {
                "BOOKING_ALLOWED_HOSTS": "localhost", "BOOKING_PUBLIC_URL": f"http://localhost:{PORT}",
                "BOOKING_DEBUG": "true", "BOOKING_DATABASE_HOST": str(where), "BOOKING_DATABASE_SSLMODE": "disable",
                "BOOKING_REDIS_HOST": "127.0.0.1", "BOOKING_REDIS_PORT": "1",
                "BOOKING_BROKER_HOST": "127.0.0.1", "BOOKING_BROKER_PORT": "1",
                "CREDENTIALS_DIRECTORY": "/run/secrets", "PORT": str(PORT),
            },
            "volumes": {str(where): {"bind": str(where), "mode": "rw"},
                        str(folder): {"bind": "/run/secrets", "mode": "ro"}},
            "network_mode": "host", "read_only": True, "tmpfs": {"/tmp": ""},
            "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        }
    finally:
        database.terminate()
        database.wait(timeout=SECONDS)


def test_image_serves_as_nobody_from_a_read_only_root(daemon, built, settings):
    daemon.containers.run(built, ["python", "manage.py", "migrate"], remove=True, **settings)
    container = daemon.containers.run(built, detach=True, **settings)
    try:
        address = f"http://localhost:{PORT}"
        with httpx.Client(base_url=address, trust_env=False) as client:
            wait(lambda: client.get("/healthz").status_code == 200, "the service", container.logs)
            assert client.get("/healthz").json()["release"] == "20260101T000000Z-0000000"
            assert client.get("/readyz").json()["status"] == "degraded"
            page = client.get("/")
            assert page.status_code == 200
            style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
            assert client.get(style).headers["Content-Type"].startswith("text/css")
        assert container.exec_run("id -u").output.strip() == b"10001"
        assert container.exec_run("touch /srv/booking/new").exit_code != 0
        assert container.exec_run("python -c 'import celery, strawberry'").exit_code == 0
        wait(lambda: healthy(container), "the container's health", container.logs)
    finally:
        container.remove(force=True)


def healthy(container):
    container.reload()
    return container.attrs["State"]["Health"]["Status"] == "healthy"


def test_image_has_nothing_of_the_tests_and_no_secret(daemon, built):
    listed = daemon.containers.run(built, ["ls", "-a", "/srv/booking"], remove=True, network_mode="host").decode()
    assert not {"tests", ".env", ".secrets", ".venv"} & set(listed.split())
    assert not [line for line in built.attrs["Config"]["Env"] if "PASSWORD" in line or "SECRET" in line]


def test_compose_file_is_one():
    done = subprocess.run(
        [str(ROOT / ".venv/bin/check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "app/compose.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
