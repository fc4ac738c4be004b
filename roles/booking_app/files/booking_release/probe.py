"""Asks a release over HTTP whether it is ready: at its own socket, or through this host's web server."""

from pathlib import Path

from .layout import Layout

ANSWER_SECONDS = 5
LONGEST_BODY = 1000


def web_server(layout: Layout) -> tuple[str, int]:
    """Where this host's own web server listens."""
    return "127.0.0.1", int(layout.settings()["web_port"])


def ask(address: Path | tuple[str, int], host: str) -> tuple[int, str, str]:
    """GET /readyz under the site's name: status, release id, body of the answer; or (0, "", error).

    address: a Unix socket's path, or address and port. HTTP/1.0, so that the answer ends with the connection;
    by hand, as importing http.client would double the time that this program takes to start.
    """
    import socket  # most acts ask nobody, and each pays for what is imported

    request = f"GET /readyz HTTP/1.0\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n"
    family, place = (socket.AF_UNIX, str(address)) if isinstance(address, Path) else (socket.AF_INET, address)
    try:
        with socket.socket(family) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(place)
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return 0, "", f"{type(error).__name__}: {error}"
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdecimal():
        return 0, "", "the answer was cut short" if answer else "the connection was closed without an answer"
    identity = next((line.partition(": ")[2] for line in lines if line.lower().startswith("x-release-id: ")), "")
    return int(words[1]), identity, body[:LONGEST_BODY]


def ready(layout: Layout, address: Path | tuple[str, int], release: str) -> str:
    """Ask for readiness: "" if the answer is 200 and of this release, else what was said instead."""
    status, answered, body = ask(address, str(layout.settings()["probe_host"]))
    if status == 200 and answered == release:
        return ""
    return f"/readyz said {status} for release {answered or 'unknown'}: {body.strip()}" if status else body
