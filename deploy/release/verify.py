"""What clients get: requests through the load balancers, with their certificate verified."""

from __future__ import annotations

import hashlib
import math
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from deploy.errors import PreflightError
from deploy.release.settings import Settings

PATH = "/readyz"
HEADER = "X-Release-Id"
SERVED_BY = "X-Served-By"
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.05
ANSWERS_EACH = 5  # answers of the release, with none of another between them, that each host gives
HTTPS = 443
REQUEST_SECONDS = 5


class VerifyError(Exception):
    """The balancer does not show the release."""


@dataclass(frozen=True)
class Answer:
    """One answer. status 0: none came, and `error` says why. host: the tag of the web host that gave it."""

    status: int
    release: str
    error: str = ""
    host: str = ""

    def __str__(self) -> str:
        """What a person reads."""
        host = "" if self.host else f", from a host that does not name itself ({SERVED_BY})"
        return self.error or f"{self.status} from release {self.release or 'unknown'}{host}"


def tag(host: str) -> str:
    """What nginx on a host signs its answers with, so that clients learn no name (templates/etc/nginx)."""
    return hashlib.sha256(host.encode()).hexdigest()[:8]


def trust(settings: Settings) -> ssl.SSLContext:
    """What the service's certificate is checked against. PreflightError: the authority's file cannot be read."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise PreflightError(
            f"the authority's certificate cannot be read: {error.strerror or error}", settings.ca_file,
            f"set release_ca_file in inventories/{settings.env}",
        ) from None  # fmt: skip


def base(address: str, port: int = HTTPS) -> str:
    """The URL of a balancer at its own address."""
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


class Balancers:
    """The load balancers of an environment, each asked at its own address under the site's name."""

    def __init__(self, addresses: Sequence[str], settings: Settings, port: int = HTTPS) -> None:
        self.addresses, self.settings, self.port = list(addresses), settings, port
        self._context = trust(settings)

    @contextmanager
    def _client(self, address: str) -> Iterator[httpx.Client]:
        """A new connection to a balancer; it hands each request on anew, to any web host."""
        with httpx.Client(
            base_url=base(address, self.port), headers={"Host": self.settings.domain}, verify=self._context,
            timeout=REQUEST_SECONDS, trust_env=False,
        ) as client:  # fmt: skip
            yield client

    def _ask(self, client: httpx.Client) -> Answer:
        try:
            answer = client.get(PATH, extensions={"sni_hostname": self.settings.domain})
        except (httpx.HTTPError, OSError) as error:
            return Answer(0, "", f"{type(error).__name__}: {error}")
        said = answer.headers
        return Answer(answer.status_code, said.get(HEADER, ""), host=said.get(SERVED_BY, ""))

    def ask(self, address: str) -> Answer:
        """One request through one balancer."""
        with self._client(address) as client:
            return self._ask(client)

    def preflight(self) -> None:
        """PreflightError unless every balancer answers, whatever it says, under a valid certificate."""
        for address in self.addresses:
            if not (answer := self.ask(address)).status:
                env = self.settings.env
                raise PreflightError(
                    f"it does not answer for {self.settings.domain}: {answer.error}",
                    f"load balancer {address}",
                    f"set release_ca_file in inventories/{env} to the authority's file"
                    if "CERTIFICATE_VERIFY_FAILED" in answer.error
                    else f"ansible-playbook -i inventories/{env} site.yml",
                )  # fmt: skip

    def shows(
        self, release: str, hosts: Mapping[str, str], everywhere: bool, *, most: float = math.inf, red: bool = False
    ) -> None:
        """Wait until the named hosts answer with a release through each balancer.

        hosts: name -> tag of those that must have. everywhere: each has given ANSWERS_EACH, and nobody an answer of
        another release in between; else one answer of each is enough, whatever comes in between. red: an answer
        that says it is not ready is as good as any. VerifyError: not within release_verify_seconds (or `most`), all
        balancers together; names the hosts that are missing.
        """
        until = time.monotonic() + min(self.settings.verify_seconds, most)
        for address in self.addresses:
            with self._client(address) as client:
                self._watch(client, address, until, release, hosts, everywhere, red)

    def _watch(
        self, client: httpx.Client, address: str, until: float, release: str, hosts: Mapping[str, str],
        everywhere: bool, red: bool,
    ) -> None:  # fmt: skip
        names = {tagged: name for name, tagged in hosts.items()}
        seen, wanted = dict.fromkeys(hosts, 0), ANSWERS_EACH if everywhere else 1
        other, pause = "none", 0.0
        while missing := [name for name, count in seen.items() if count < wanted]:
            if pause and time.monotonic() > until:
                raise VerifyError(
                    f"the load balancer at {address} does not show {release} on {', '.join(missing)} within "
                    f"{self.settings.verify_seconds} s; its last other answer: {other}"
                )
            # the next host's turn comes soon; a service that is slow to show the release is asked less and less
            time.sleep(pause)
            answer = self._ask(client)
            name = names.get(answer.host)
            right = answer.release == release and (red or answer.status == 200)
            if right and name in missing:
                seen[str(name)] += 1
                pause = 0.0
                continue
            if not right or not name:
                stranger = ", by a host that it was not to come from" if answer.host else ""
                other = f"{answer}, by {name}" if name else f"{answer}{stranger}"
            if everywhere and not right:
                seen = dict.fromkeys(hosts, 0)
            pause = min(max(pause * 1.25, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Nothing stays open between two calls."""
