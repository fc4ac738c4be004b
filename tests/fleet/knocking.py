"""What one host reaches of another, by the packets themselves: programs that run on hosts, and what asks them.

TCP is asked from the sender's end: a SYN that the firewalls let through is answered, with SYN and ACK where something
listens and with RST where nothing does; one that they do not is not. UDP and protocols without ports need no answer,
so they are told at the receiver's end, by raw sockets, which the kernel serves after the firewall.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# An answer's delay that a loaded machine stays below (seconds).
PATIENCE = 1.0
TOKEN = "who goes there"

# Sends a SYN to each port of each address, again to those that did not answer, and prints [address, port, listens].
KNOCK = """
import errno, json, select, socket, struct, sys, time
OWN_PORT, SYN, RST, ROUNDS = 61001, 2, 4, 2

class Target:
    def __init__(self, address, ports):
        six = ":" in address
        self.address, self.ports, self.header, self.answers = address, set(ports), not six, {}
        self.socket = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.socket.setblocking(False)
        self.refused = False
        try:
            self.socket.connect((address, 0))
        except OSError:  # no way there at all
            self.ports = set()
            return
        kind = socket.AF_INET6 if six else socket.AF_INET
        ends = socket.inet_pton(kind, self.socket.getsockname()[0]) + socket.inet_pton(kind, address)
        fixed = ends + struct.pack("!HH", socket.IPPROTO_TCP, 20) + self.segment(0, 0)
        self.sum = sum(struct.unpack(f"!{len(fixed) // 2}H", fixed))

    @staticmethod
    def segment(port, checksum):
        return struct.pack("!HHIIBBHHH", OWN_PORT, port, 1, 0, 5 << 4, SYN, 1024, checksum, 0)

    def knock(self, port):
        total = self.sum + port
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        while True:
            try:
                self.socket.send(self.segment(port, ~total & 0xFFFF))
                return
            except BlockingIOError:
                select.select([], [self.socket], [], 1)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    time.sleep(0.01)
                    continue
                return  # refused by the host's own firewall

    def listen(self):
        heard = False
        while True:
            try:
                packet = self.socket.recv(256)
            except (BlockingIOError, OSError):
                return heard
            segment = packet[(packet[0] & 15) * 4:] if self.header else packet
            port, own = struct.unpack("!HH", segment[:4])
            if own == OWN_PORT and segment[13] & (SYN | RST):
                self.answers[port] = bool(segment[13] & SYN) or self.answers.get(port, False)
                heard = True

def main(asked, patience):
    targets = [Target(address, ports or range(1, 65536)) for address, ports in asked]
    for _ in range(ROUNDS):
        for target in targets:
            for number, port in enumerate(sorted(target.ports - set(target.answers))):
                target.knock(port)
                if number % 200 == 0:
                    target.listen()
            target.listen()
        until = time.monotonic() + patience
        while time.monotonic() < until:
            select.select([t.socket for t in targets], [], [], 0.05)
            if any([t.listen() for t in targets]):
                until = time.monotonic() + patience
    print(json.dumps([[t.address, port, listens] for t in targets for port, listens in sorted(t.answers.items())]))
"""

# Sends a datagram to each port of each address, and a packet of each protocol without ports.
SEND = """
import json, socket
def main(asked, protocols, token):
    for address, ports in asked:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for port in ports:
                try:
                    sender.sendto(token.encode(), (address, port))
                except OSError:
                    pass  # refused by the host's own firewall
        for protocol in protocols:
            with socket.socket(family, socket.SOCK_RAW, protocol) as sender:
                try:
                    sender.sendto(token.encode(), (address, 0))
                except OSError:
                    pass
"""

# Goes on in the background and, once it is ended, leaves [source, protocol, port] of all that came in.
WITNESS = """
import json, os, select, signal, socket, struct
def main(protocols, token, path):
    sockets = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (socket.IPPROTO_UDP, *protocols):
            each = socket.socket(family, socket.SOCK_RAW, protocol)
            each.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            each.setblocking(False)
            sockets[each] = (family, protocol)
    if child := os.fork():
        print(child)
        return
    os.setsid()
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    ended, seen = [], set()
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    while True:
        ready = select.select(list(sockets), [], [], 0.1)[0]
        for each in ready:
            packet, source = each.recvfrom(2048)
            family, protocol = sockets[each]
            body = packet[(packet[0] & 15) * 4:] if family == socket.AF_INET else packet
            if body.endswith(token.encode()):
                port = struct.unpack("!H", body[2:4])[0] if protocol == socket.IPPROTO_UDP else 0
                seen.add((source[0], protocol, port))
        if ended and not ready:
            break
    with open(path + ".part", "w") as file:
        json.dump(sorted(seen), file)
    os.rename(path + ".part", path)
"""

On = Callable[..., Any]
Asked = list[tuple[str, list[int]]]


def knock(on: On, name: str, asked: Asked) -> dict[tuple[str, int], bool]:
    """(address, port) that host *name* reaches over TCP, each with whether something listens there.

    asked: addresses with their ports; no ports mean all 65,535.
    """
    found = _run(on, name, KNOCK, asked, PATIENCE)
    return {(address, port): listens for address, port, listens in json.loads(found)}


def send(on: On, name: str, asked: Asked, protocols: list[int]) -> None:
    """Send from host *name* what a witness can tell."""
    _run(on, name, SEND, asked, protocols, TOKEN)


def start_witness(on: On, name: str, protocols: list[int]) -> int:
    """Watch on host *name* for what `send` sends; returns the process to be ended by `end_witness`."""
    return int(_run(on, name, WITNESS, protocols, TOKEN, _seen_file(name)))


def end_witness(on: On, name: str, process: int) -> set[tuple[str, int, int]]:
    """(source address, protocol number, port) of all that came in since."""
    path = _seen_file(name)
    ended = f"kill {process} 2>/dev/null; n=0; until [ -e {path} ] || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done"
    done = on(name, f"{ended}; cat {path} && rm {path}")
    assert done.returncode == 0, done.stderr
    return {tuple(each) for each in json.loads(done.stdout)}


def _seen_file(name: str) -> str:
    return f"/run/witness-{name}.json"


def _run(on: On, name: str, program: str, *arguments: Any) -> str:
    given = f"\nmain(*__import__('json').loads({json.dumps(arguments)!r}))\n"
    done = on(name, "python3 -", stdin=program + given, timeout=900)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return str(done.stdout)
