"""Fabric tasks. Each parses, calls one function and prints."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

from invoke.collection import Collection

# httpx has a command line of its own, and would bring click, rich and pygments for it: a tenth of a second of every
# command. It takes a module that is None for one that is not installed, and goes on without it.
sys.modules.setdefault("httpx._main", cast(ModuleType, None))

from deploy.tasks import hosts, patch, provision, release, secrets  # noqa: E402 - only now, because of the line above

namespace = Collection.from_module(release)
for module in (hosts, patch, provision):
    for name, task in Collection.from_module(module).tasks.items():
        namespace.add_task(task, name)
namespace.add_collection(Collection.from_module(secrets), name="secrets")
