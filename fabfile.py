"""Lets `fab deploy` and the others work at the root; the tasks are in deploy/tasks/."""

from deploy.tasks import namespace

__all__ = ["namespace"]
