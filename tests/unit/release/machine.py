"""A host in a temporary folder: the helper's own code, with stand-ins for systemd and nginx; and small releases."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from deploy.release.packing import SUFFIX, Part, pack

ROOT = Path(__file__).resolve().parents[3]
HELPER = ROOT / "roles/booking_app/files"
OLD, NEW = "20260101T000000Z-0000001", "20260102T000000Z-0000002"
VENV = "0123456789abcdef"
OWNER = json.dumps({"user": "test"})

# systemctl: `start` runs a small web server on the activation's socket, or a process that does nothing, and keeps
# its pid in a file. Files of the test say what goes wrong: broken (starts do nothing), broken-KIND (of one kind),
# show/UNIT (what `show` says instead).
SYSTEMCTL = """#!/bin/sh
cd {root}
echo "$@" >> systemctl.log
act=$1
shift
for unit; do
    case $act$unit in *--*) continue ;; esac
    kind=${{unit#booking-}}
    kind=${{kind%%@*}}
    activation=${{unit#*@}}
    activation=${{activation%.service}}
    case $act in
        start) [ -e broken ] || [ -e "broken-$kind" ] && continue
            if [ "$kind" = web ]; then
                {python} server.py "$activation" > /dev/null 2>&1 &
            else
                sleep 1000 > /dev/null 2>&1 &
            fi
            echo $! > "units/$unit" ;;
        show) if [ -e "show/$unit" ]; then cat "show/$unit"
            elif [ -s "units/$unit" ]; then echo ActiveState=active; else echo ActiveState=failed; fi
            echo ;;
        stop) case $unit in
            booking-cool-*.timer) rm -f timers/$unit ;;
            *) [ -e "units/$unit" ] || continue
                [ -s "units/$unit" ] && kill -9 "$(cat "units/$unit")"
                rm "units/$unit" ;;
            esac ;;
    esac
done
if [ "$act" = list-units ]; then
    for path in units/*; do
        state=active
        [ -s "$path" ] || state=failed
        [ -e "$path" ] && echo "${{path##*/}} loaded $state running Booking"
    done
fi
exit 0
"""

# systemd-run: keeps the command of a timer in a file of its name
SYSTEMD_RUN = """#!/bin/sh
[ -e {root}/no-timers ] && exit 1
for word; do case $word in --unit=*) unit=${{word#--unit=}} ;; esac; done
echo "$@" > "{root}/timers/$unit.timer"
"""

SERVER = """
import http.server, os, socketserver, sys
os.setsid()
activation = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        red = os.path.exists("{root}/red") or os.path.exists("{root}/red-" + activation)
        self.send_response(503 if red else 200)
        self.send_header("X-Release-Id", activation.rpartition(".")[0])
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())
    def address_string(self):
        return "nginx"
    def log_message(self, *args):
        pass
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass
Server("{root}/run/booking/" + activation + ".sock", Handler).serve_forever()
"""


class Host:
    """A host's root folder, and the helper's modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = {
            name: importlib.import_module(f"booking_release.{name}")
            for name in ("activations", "cli", "intent", "layout", "lock", "migrations", "probe", "switch", "systemd")
        }
        self.layout = self.modules["layout"].Layout(root)
        self.token = 0

    def configure(self, **settings: Any) -> None:
        """Change settings that the role gives the helper."""
        path = self.root / "etc/booking/helper.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(before | settings))

    def call(self, *argv: str, stream: bytes = b"") -> tuple[int, dict[str, Any]]:
        """One act by its command line: exit status and answer."""
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            code = self.modules["cli"].main(list(argv), self.layout, io.BytesIO(stream))
            return code, json.loads(sys.stdout.getvalue())
        finally:
            sys.stdout = out

    def act(self, name: str, *argv: str, stream: bytes = b"") -> tuple[int, dict[str, Any]]:
        """One act under the lock."""
        if not self.token:
            self.token = self.call("lock", OWNER)[1]["token"]
        return self.call(name, "--token", str(self.token), *argv, stream=stream)

    def serving(self, old: Release, new: Release) -> Host:
        """This host, once it serves the old release and holds the new one."""
        old.stage(self)
        new.stage(self)
        self.act("start", OLD)
        self.act("swap", f"{OLD}.1")
        return self

    def killed(
        self, module: str, function: str, act: str, *argv: str, stream: bytes = b"", after: int = 0
    ) -> None:
        """An act under the lock in a process of its own, which ends, as if by SIGKILL, where a function would be
        called (for the first time, or `after` so many calls)."""
        self.token = self.token or self.call("lock", OWNER)[1]["token"]
        if not (child := os.fork()):
            owner, calls = importlib.import_module(module), []
            real = getattr(owner, function)

            def dies(*args: Any, **kwargs: Any) -> Any:
                calls.append(args)
                return os._exit(9) if len(calls) > after else real(*args, **kwargs)

            setattr(owner, function, dies)
            try:
                self.call(act, "--token", str(self.token), *argv, stream=stream)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, "the act never came to that point"

    def takeover(self) -> dict[str, Any]:
        """The next owner takes the lock; answers what there was to be settled."""
        code, answer = self.call("lock", "--replace", str(self.token), OWNER)
        assert code == 0, answer
        self.token = answer["token"]
        settled: dict[str, Any] = answer["settled"]
        return settled

    def status(self) -> dict[str, Any]:
        """What the host says of itself."""
        code, answer = self.call("status")
        assert code == 0, answer
        return answer

    def log(self) -> list[str]:
        """What systemctl was called with."""
        path = self.root / "systemctl.log"
        return path.read_text().splitlines() if path.exists() else []


class Release:
    """A small release, packed as the engine packs it."""

    def __init__(self, folder: Path, name: str, static: dict[str, str] | None = None) -> None:
        static = static if static is not None else {"a.css": f"a.{name[-7:]}.css"}
        for path, text in {
            "venv/pyvenv.cfg": "home = /usr/bin\n",
            "venv/lib/python3.13/site-packages/thing.py": "",
            "code/manage.py": f"# {name}\n",
            "static/staticfiles.json": json.dumps({"paths": static}),
            **{f"static/{hashed}": hashed for hashed in static.values()},
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self.parts: dict[str, Part] = {
            part: pack(folder / part, folder / f"{part}{SUFFIX}") for part in ("venv", "code", "static")
        }
        self.name = name
        self.manifest: dict[str, Any] = {
            "id": name,
            "venv": VENV,
            "python": "3.13",
            "parts": {key: {"sha256": part.sha256, "size": part.size} for key, part in self.parts.items()},
            "migrations": {"shop.0001_initial": {"class": "expand", "since": ""}},
        }

    def stream(self, *parts: str) -> bytes:
        """What the engine sends: the manifest on one line, then the parts."""
        line = json.dumps(self.manifest).encode() + b"\n"
        return line + b"".join(self.parts[part].path.read_bytes() for part in parts)

    def stage(self, host: Host, *parts: str) -> tuple[int, dict[str, Any]]:
        """Send it to a host."""
        parts = parts or ("venv", "code", "static")
        words = [word for part in parts for word in ("--part", part)]
        return host.act("stage", *words, self.name, stream=self.stream(*parts))
