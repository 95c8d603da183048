"""Who may: API keys in `Authorization: Bearer gm_<id>_<secret>`, or nobody but this machine while there are none."""

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from litestar.connection import Request
from litestar.enums import HttpMethod

from gristmill import metrics
from gristmill.api import last_admin
from gristmill.api.access import ACCESS, operation
from gristmill.api.headers import RATE_HEADERS, sent
from gristmill.db.engine import Database
from gristmill.db.keys import find_key, keys_exist, note_refusal, note_use
from gristmill.domain.key import Scope, digest, split_token
from gristmill.errors import ConfigurationError, Forbidden, MisdirectedRequest, Unauthorized
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Send
    from litestar.types import Scope as Connection

log = get_logger(__name__)

KEY_OK = metrics.KEY_CHECKS.labels("ok")

LOCAL_OWNER = "local"
LOOK_AGAIN_S = 1.0
USE_NOTED_S = 3600.0
REFUSAL_NOTED_S = 60.0
ADMINS_LOOKED_AT_S = 3600.0
UNKNOWN = "unknown"
# What was noted of so many keys is forgotten: it is noted again then, at worst.
MANY_KEYS = 10_000
# Hosts of requests are few, unless somebody tries many.
MANY_HOSTS = 256


@dataclass(frozen=True)
class Caller:
    """Whose datasets and jobs a request reaches, and what it may do with them. `key_id` None: no key was needed."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None

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
        self._uses = Seldom(USE_NOTED_S)
        self._refusals = Seldom(REFUSAL_NOTED_S)
        self._reasons: dict[str, str] = {}
        self._admins = Seldom(ADMINS_LOOKED_AT_S)

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
        metrics.KEY_CHECKS.labels("missing").inc()
        raise Unauthorized("Send an API key: Authorization: Bearer gm_…")

    async def _by_key(self, authorization: str) -> Caller:
        scheme, _, token = authorization.partition(" ")
        parts = split_token(token.strip()) if scheme.lower() == "bearer" else None
        if parts is not None:
            key_id, secret = parts
            key = await find_key(self._database, key_id)
            if key is not None and hmac.compare_digest(key.secret_sha256, digest(secret)):
                if self._uses.due(key_id):
                    await note_use(self._database, key_id)
                if Scope.ADMIN in key.scopes and self._admins.due(Scope.ADMIN):
                    await last_admin.look(self._database, key_id)
                return Caller(key.owner, frozenset(key.scopes), key_id)
        reason = await self._refused(None if parts is None else parts[0])
        metrics.KEY_CHECKS.labels(reason.replace(" ", "_")).inc()
        raise Unauthorized("The API key is unknown, expired or revoked.")

    async def _refused(self, key_id: str | None) -> str:
        """Write a refusal down: once a minute for a key that exists, and once for all that do not. Answers why."""
        if key_id is not None:
            if not self._refusals.due(key_id):
                return self._reasons.get(key_id, UNKNOWN)
            reason = await note_refusal(self._database, key_id)
            if reason is not None:
                self._remember(key_id, reason)
                log.warning("key.refused", key_id=key_id, reason=reason)
                return reason
        if self._refusals.due(UNKNOWN):
            log.warning("key.refused", key_id=UNKNOWN, reason=UNKNOWN)
        return UNKNOWN

    def _remember(self, key_id: str, reason: str) -> None:
        if len(self._reasons) >= MANY_KEYS:
            self._reasons.clear()
        self._reasons[key_id] = reason

    def keys_changed(self) -> None:
        """An admin made, rotated or revoked one: another may be the last admin's now. Looked at with the next request
        of an admin: this one has a secret to tell, and must not fail any more.
        """
        self._admins = Seldom(ADMINS_LOOKED_AT_S)

    def close(self) -> None:
        """The first key was made here: from now on everybody is asked for one."""
        self._keys_exist = True

    async def _open(self) -> bool:
        if not self._loopback_only:
            return False
        now = time.monotonic()
        if not self._keys_exist and now - self._looked_at >= LOOK_AGAIN_S:
            self._keys_exist = await keys_exist(self._database)
            self._looked_at = now
        return not self._keys_exist


class Seldom:
    """Says of each name when it is time again: the first time, and then every `interval_s` seconds at most."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: dict[str, float] = {}

    def due(self, name: str) -> bool:
        now = time.monotonic()
        if now - self._seen.get(name, float("-inf")) < self._interval_s:
            return False
        if len(self._seen) >= MANY_KEYS:
            self._seen.clear()
        self._seen[name] = now
        return True


def authenticated(app: "ASGIApp") -> "ASGIApp":
    """A middleware around all routes: nobody who may not is let through to the handler.

    Not a guard of the framework's, which copies the handler for each request: an eighth of a small request's time.
    """

    async def checked(scope: "Connection", receive: "Receive", send: "Send") -> None:
        await authenticate(scope)
        await app(scope, receive, send)

    return checked


async def authenticate(scope: "Connection") -> None:
    """Who may do what stands in `access.ACCESS`, and what does not stand there, nobody may.

    Raises:
        Unauthorized, Forbidden: not with this key, or not without one.
        RateLimited: too often.
        MisdirectedRequest: by a host name that is not ours.
    """
    state = scope["litestar_app"].state
    host = sent(scope, b"host") or ""
    refuse_other_hosts(host, scope["path"], state.settings.allowed_host_names)
    if scope.get("method") == HttpMethod.OPTIONS:
        return
    name = operation(scope["route_handler"])
    if name not in ACCESS:
        raise Forbidden("Nobody may do this.")
    needed = ACCESS[name]
    if needed is None:
        return
    authorization = sent(scope, b"authorization")
    caller = await state.gate.admit(authorization)
    if authorization is None:
        refuse_other_sites(host, sent(scope, b"origin"))
    if caller.key_id is not None:
        told, refusal = state.rates.take(caller.key_id)
        scope["state"][RATE_HEADERS] = told
        if refusal is not None:
            raise refusal
    if not caller.may(needed):
        metrics.KEY_CHECKS.labels("lacks_scope").inc()
        raise Forbidden(f"The API key lacks the scope {needed.value}.")
    if caller.key_id is not None:
        KEY_OK.inc()
    scope["user"] = caller


def admission(request: Request[Caller, Any, Any]) -> Admission:
    """Asks again whether a request may go on: one that lasts must not outlive its key. Raises as `Gate.admit`."""
    gate: Gate = request.app.state.gate
    return partial(gate.admit, request.headers.get("Authorization"))


def refuse_other_hosts(host: str, path: str, allowed: tuple[str, ...]) -> None:
    """Where ALLOWED_HOSTS is set, a request has to be for one of them. Probes of the health ask by address.

    Raises MisdirectedRequest.
    """
    if not allowed or path.startswith("/health/"):
        return
    name = _host_name(host)
    if not any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in allowed):
        raise MisdirectedRequest("The Host is not one that is answered here.")


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


@lru_cache(MANY_HOSTS)
def _is_loopback(host: str) -> bool:
    try:
        name = _host_name(host)
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(MANY_HOSTS)
def _host_name(host: str) -> str:
    """The name in a `Host` header, in lower case and without the port; empty where it can't be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


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
