"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, their tokens and their logins."""

    name = "booking.accounts"

    def ready(self) -> None:
        """Whoever logs in or fails to, wherever, is noted; tokens may have several keys for a time."""
        from django.contrib.auth.signals import user_logged_in, user_login_failed

        from booking.accounts import signing
        from booking.accounts.services import logged_in, login_failed

        signing.install()
        user_logged_in.connect(logged_in, dispatch_uid="booking.accounts")
        user_login_failed.connect(login_failed, dispatch_uid="booking.accounts")
