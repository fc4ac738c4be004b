"""The sandbox fleet: real Debian hosts on one machine, raised and removed by one command."""
