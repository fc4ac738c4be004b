"""Fabric tasks. Each parses, calls one function and prints."""

from __future__ import annotations

from invoke.collection import Collection

from deploy.tasks import release, secrets

namespace = Collection.from_module(release)
namespace.add_collection(Collection.from_module(secrets), name="secrets")
