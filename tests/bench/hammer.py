"""Requests from inside a host's network, by a program of its own: `python -m tests.bench.hammer < plan.json`.

The plan: {"base": URL, "address": where its host is, "authority": PEM file or "", "headers": {…}, "seconds": number,
"rate": requests a second whether or not answers come (0: `clients` ask one after the other), "clients": number,
"requests": [[method, path, body or null], …], taken in turn}. Prints {"times": [seconds of each answer],
"failed": number, "per_second": number}.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any

import aiohttp

from tests.fleet.load import At


async def hammer(plan: dict[str, Any]) -> dict[str, Any]:
    """Carry the plan out."""
    context = ssl.create_default_context(cafile=plan["authority"]) if plan["authority"] else False
    connector = aiohttp.TCPConnector(ssl=context, limit=0, resolver=At(plan["address"]))
    times: list[float] = []
    failed = 0
    turns: Iterator[tuple[str, str, Any]] = itertools.cycle([tuple(each) for each in plan["requests"]])
    async with aiohttp.ClientSession(plan["base"], connector=connector, headers=plan["headers"]) as client:
        async def one() -> None:
            nonlocal failed
            method, path, body = next(turns)
            began = time.monotonic()
            try:
                async with client.request(method, path, json=body) as answer:
                    await answer.read()
                failed += answer.status not in (200, 201)
            except (aiohttp.ClientError, TimeoutError):
                failed += 1
            times.append(time.monotonic() - began)

        began = time.monotonic()
        until = began + plan["seconds"]

        async def again() -> None:
            while time.monotonic() < until:
                await one()

        if plan["rate"]:
            tasks = []
            for number in range(int(plan["seconds"] * plan["rate"])):
                tasks.append(asyncio.create_task(one()))
                await asyncio.sleep(max(0.0, began + (number + 1) / plan["rate"] - time.monotonic()))
            await asyncio.gather(*tasks)
        else:
            await asyncio.gather(*(again() for _ in range(plan["clients"])))
    return {"times": times, "failed": failed, "per_second": len(times) / (time.monotonic() - began)}


if __name__ == "__main__":
    json.dump(asyncio.run(hammer(json.load(sys.stdin))), sys.stdout)
