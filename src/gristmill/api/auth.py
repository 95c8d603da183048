"""Who may: API keys in `Authorization: Bearer gm_<id>_<secret>`, or nobody but this machine while there are none."""

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection, Request
from litestar.handlers.base import BaseRouteHandler

from gristmill.db.engine import Database
from gristmill.db.keys import find_key, keys_exist
from gristmill.domain.key import Scope, digest, split_token
from gristmill.errors import ConfigurationError, Forbidden, Unauthorized
from gristmill.settings import Settings

LOCAL_OWNER = "local"
LOOK_AGAIN_S = 1.0
PUBLIC = {"public": True}


@dataclass(frozen=True)
class Caller:
    """Whose datasets and jobs a request reaches, and what it may do with them."""

    owner: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


Admission = Callable[[], Awaitable[Caller]]


class Gate:
    """Lets requests in. Without a single key ever made, and on loopback alone, nobody is asked for one."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._loopback_only = settings.loopback_only
        self._database = database
        self._keys_exist = False
        self._looked_at = float("-inf")

    async def admit(self, authorization: str | None) -> Caller:
        """The caller behind an `Authorization` header.

        Raises:
            Unauthorized: a key is needed and this is none.
            DatabaseUnavailable: nobody knows; so nobody gets in.
        """
        if authorization is not None:
            return await self._by_key(authorization)
        if await self._open():
            return Caller(LOCAL_OWNER, frozenset(Scope))
        raise Unauthorized("Send an API key: Authorization: Bearer gm_…")

    async def _by_key(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        parts = split_token(token.strip()) if scheme.lower() == "bearer" else None
        if parts is not None:
            key_id, secret = parts
            key = await find_key(self._database, key_id)
            if key is not None and hmac.compare_digest(key.secret_sha256, digest(secret)):
                return Caller(key.owner, frozenset(key.scopes))
        raise Unauthorized("The API key is unknown, expired or revoked.")

    async def _open(self) -> bool:
        if not self._loopback_only:
            return False
        now = time.monotonic()
        if not self._keys_exist and now - self._looked_at >= LOOK_AGAIN_S:
            self._keys_exist = await keys_exist(self._database)
            self._looked_at = now
        return not self._keys_exist


async def authenticate(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard for all routes but the public ones: reading needs the scope read, anything else write, but
    where the handler names another.
    """
    method = connection.scope.get("method", "GET")
    if handler.opt.get("public") or method == "OPTIONS":
        return
    authorization = connection.headers.get("Authorization")
    caller = await connection.app.state.gate.admit(authorization)
    if authorization is None:
        refuse_other_sites(connection.headers.get("Host", ""), connection.headers.get("Origin"))
    needed = handler.opt.get("scope") or (Scope.READ if method == "GET" else Scope.WRITE)
    if not caller.may(needed):
        raise Forbidden(f"The API key lacks the scope {needed.value}.")
    connection.scope["user"] = caller


def admission(request: Request[Caller, Any, Any]) -> Admission:
    """Asks again whether a request may go on: one that lasts must not outlive its key. Raises as `Gate.admit`."""
    gate: Gate = request.app.state.gate
    return partial(gate.admit, request.headers.get("Authorization"))


def refuse_other_sites(host: str, origin: str | None) -> None:
    """Without a key, a page of another site in this machine's browser must not be able to act for its user.

    The host must be this machine's by name or address (a rebound DNS name is not), the origin must be the host.

    Raises:
        Forbidden: it is not.
    """
    if not _is_loopback(host):
        raise Forbidden("Without API keys, only requests to this machine's own address are taken.")
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise Forbidden("Without API keys, pages of other sites are refused.")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


async def refuse_open_door(settings: Settings, database: Database) -> None:
    """Check that nobody without a key can reach us from another machine.

    Raises:
        ConfigurationError: we would listen beyond loopback and no key was ever made.
        DatabaseUnavailable: that can't be known now.
    """
    if settings.loopback_only or await keys_exist(database):
        return
    raise ConfigurationError(
        f"API_HOST={settings.api_host} is reachable from other machines, and there are no API keys. Make one first: "
        "gristmill keys create --owner NAME. Or listen on 127.0.0.1 only."
    )
