"""The stateless part of a host, by the roles that site.yml gives it, in its order.

    NEXUS_ENV=staging pyinfra deploy.inventory:fleet deploy/provision/site.py [--limit web] [--dry]

One line a role: pyinfra orders operations by where they are called.
"""

from deploy.provision.base import base
from deploy.provision.booking_app import booking_app
from deploy.provision.certbot import certbot
from deploy.provision.cron import cron
from deploy.provision.firewall import firewall
from deploy.provision.haproxy import haproxy
from deploy.provision.keepalived import keepalived
from deploy.provision.loadbalancer import loadbalancer
from deploy.provision.nginx import nginx
from deploy.provision.nginx_lb import nginx_lb
from deploy.provision.roles import begin

roles = begin()

if "base" in roles:
    base()
if "firewall" in roles:
    firewall()
if "booking_app" in roles:
    booking_app()
if "cron" in roles:
    cron()
if "nginx" in roles:
    nginx()
if "loadbalancer" in roles:
    loadbalancer()
if "haproxy" in roles:
    haproxy()
if "nginx_lb" in roles:
    nginx_lb()
if "keepalived" in roles:
    keepalived()
if "certbot" in roles:
    certbot()
