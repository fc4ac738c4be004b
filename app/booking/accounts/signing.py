"""The key that signs tokens, and those that are accepted beside it while it is renewed."""

from typing import Any

import jwt
from django.conf import settings
from rest_framework_simplejwt import settings as library
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import Token


class Backend(TokenBackend):
    """Signs with one key and accepts several. The library's own knows only one."""

    def get_verifying_key(self, token: Any) -> Any:
        """The key that signed a token; the one that signs now where none of the others did."""
        for key in map(self._prepare_key, settings.JWT_FALLBACKS):
            try:
                jwt.PyJWS().decode(token, key=key, algorithms=[self.algorithm])
            except jwt.InvalidTokenError:
                continue
            return key
        return super().get_verifying_key(token)


def install() -> None:
    """Let every kind of token be signed and verified so."""
    chosen = library.api_settings
    Token._token_backend = Backend(  # the library finds its own by an import path that no setting changes
        chosen.ALGORITHM, chosen.SIGNING_KEY, leeway=chosen.LEEWAY, json_encoder=chosen.JSON_ENCODER
    )
