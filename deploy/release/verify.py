"""What clients get: requests through the load balancers, with their certificate verified."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from deploy.errors import PreflightError
from deploy.release.settings import Settings

PATH = "/readyz"
HEADER = "X-Release-Id"
POLL_SECONDS = 0.05
ANSWERS_EACH = 5  # successive answers of the new release that each balancer gives for each web host


class VerifyError(Exception):
    """The balancer does not show the release."""


@dataclass(frozen=True)
class Answer:
    """One answer. status 0: none came, and `error` says why."""

    status: int
    release: str
    error: str = ""

    def __str__(self) -> str:
        """What a person reads."""
        return self.error or f"{self.status} from release {self.release or 'unknown'}"


class Balancers:
    """The load balancers of an environment, each asked at its own address under the site's name."""

    def __init__(self, addresses: Sequence[str], settings: Settings) -> None:
        self.addresses, self.settings = list(addresses), settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise PreflightError(
                f"the authority's certificate cannot be read: {error.strerror or error}", settings.ca_file,
                f"set release_ca_file in inventories/{settings.env}",
            ) from None  # fmt: skip
        # no connection is kept: each request may reach another web host, and none hides a refused one
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(verify=context, limits=limits, timeout=5, trust_env=False)

    def ask(self, address: str) -> Answer:
        """One request through one balancer."""
        literal = f"[{address}]" if ":" in address else address
        domain = self.settings.domain
        try:
            answer = self._client.get(
                f"https://{literal}{PATH}", headers={"Host": domain}, extensions={"sni_hostname": domain}
            )
        except httpx.HTTPError as error:
            return Answer(0, "", f"{type(error).__name__}: {error}")
        return Answer(answer.status_code, answer.headers.get(HEADER, ""))

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

    def shows(self, release: str, hosts: int, everywhere: bool) -> None:
        """Wait until each balancer shows a release: one answer of it, or, `everywhere`, only answers of it.

        hosts: how many web hosts answer behind it. VerifyError: not within release_verify_seconds.
        """
        wanted = ANSWERS_EACH * hosts if everywhere else 1
        until = time.monotonic() + self.settings.verify_seconds
        for address in self.addresses:
            row, last = 0, None
            while row < wanted:
                answer = self.ask(address)
                if answer.status == 200 and answer.release == release:
                    row += 1
                    continue
                row, last = 0, answer
                if time.monotonic() > until:
                    raise VerifyError(
                        f"the load balancer at {address} does not show {release} "
                        f"within {self.settings.verify_seconds} s; its last other answer: {last}"
                    )
                time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Close the client."""
        self._client.close()
