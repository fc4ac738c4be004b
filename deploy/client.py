"""A client of the service: what a person's program does, through the load balancer, TLS verified."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from deploy.errors import NexusError
from deploy.inventory import Fleet
from deploy.release import settings

TIMEOUT_SECONDS = 10


def front(fleet: Fleet) -> str:
    """The address that clients come by: the first floating one, else the first load balancer's own."""
    balancer = fleet.need("loadbalancers")[0]
    floating = fleet.value(balancer.name, "loadbalancer_floating_addresses")
    return str(floating[0]) if floating else balancer.address


class Client:
    """Calls the API of an environment at an address of its load balancers, under the site's name.

    *address*: which; by default the one that clients come by (`front`). *release* is the id that the last answer bore.
    """

    def __init__(self, fleet: Fleet, address: str = "") -> None:
        balancer = fleet.need("loadbalancers")[0]
        self.domain = str(fleet.value(balancer.name, "loadbalancer_domain"))
        self.address = address or front(fleet)
        self.release = ""
        authority = settings.read(fleet).ca_file
        port = fleet.value(balancer.name, "loadbalancer_https_port")
        literal = f"[{self.address}]" if ":" in self.address else self.address
        self._http = httpx.Client(
            base_url=f"https://{literal}:{port}", headers={"Host": self.domain}, timeout=TIMEOUT_SECONDS,
            verify=ssl.create_default_context(cafile=authority or None), trust_env=False,
        )

    def request(self, method: str, path: str, *, token: str = "", **options: Any) -> httpx.Response:
        """One request; any answer is returned. NexusError: none came (refused, timed out, not trusted)."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = self._http.request(
                method, path, headers=headers, extensions={"sni_hostname": self.domain}, **options
            )
        except httpx.HTTPError as error:
            raise NexusError(f"no answer: {type(error).__name__}: {error}", f"{method} {path}") from error
        self.release = answer.headers.get("X-Release-Id", self.release)
        return answer

    def ask(self, method: str, path: str, status: int, *, token: str = "", **options: Any) -> Any:
        """The decoded JSON of an answer that must bear *status*. NexusError: it bears another."""
        answer = self.request(method, path, token=token, **options)
        if answer.status_code != status:
            raise NexusError(
                f"answered {answer.status_code} where {status} was due: {answer.text[:300]}", f"{method} {path}"
            )
        return answer.json() if answer.content else None

    def login(self, email: str, password: str, details: Mapping[str, str] | None = None) -> str:
        """Register a user and return an access token of theirs."""
        self.ask("POST", "/api/v1/users/", 201,
                 json={"email": email, "name": "A guest", "password": password, **(details or {})})
        tokens = self.ask("POST", "/api/v1/token/", 200, json={"email": email, "password": password})
        return str(tokens["access"])

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
