"""Convergence of the stateless part by pyinfra: one module a role, `site.py` runs them.

    NEXUS_ENV=staging pyinfra deploy.inventory:fleet deploy/provision/site.py [--limit web] [--dry]

What a role makes of a host it reads from where Ansible reads it: roles/*/meta/host.yml, templates/, the defaults.
"""
