"""Gunicorn's settings that belong to the code; addresses, workers and time-outs are the host's business.

Used as `python -m gunicorn --config config/gunicorn.py ... config.wsgi:application`.
"""

import os

from config.logs import logging_config

logconfig_dict = logging_config(release=os.environ.get("BOOKING_RELEASE_ID", ""))

# Two releases run side by side during a switch; the control socket's path is the same for both, so the
# second would take the first one's away. Systemd is the one who stops and starts us.
control_socket_disable = True
