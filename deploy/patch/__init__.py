"""Upgrades of the hosts' packages, rolled over a fleet that serves: `fab patch`."""
