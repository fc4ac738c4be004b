"""The stateless part of a host, by the roles that site.yml gives it, in its order.

    NEXUS_ENV=staging pyinfra deploy.inventory:fleet deploy/provision/site.py [--limit web] [--dry]
"""

from deploy.provision.roles import converge

converge()
