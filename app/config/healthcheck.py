"""Asks the web process of this container whether it is alive: `python -m config.healthcheck`.

As a proxy asks it, under the service's own name, for it answers no other. Raises what urllib.request.urlopen
does where the answer is not 200.
"""

import os
from urllib.request import Request, urlopen

SECONDS = 2


def main() -> None:
    """One question."""
    name = os.environ["BOOKING_ALLOWED_HOSTS"].partition(",")[0].strip().lstrip(".")
    asked = Request(
        f"http://127.0.0.1:{os.environ['PORT']}/healthz",
        headers={"Host": name, "X-Forwarded-Proto": "https"},
    )
    with urlopen(asked, timeout=SECONDS):
        pass


if __name__ == "__main__":
    main()
