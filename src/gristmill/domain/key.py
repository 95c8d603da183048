"""API keys: `gm_<id>_<secret>`. Only the SHA-256 of the secret is kept, so a stolen database opens nothing."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from gristmill.errors import ConfigurationError

TOKEN = re.compile(r"gm_([a-z0-9]{12})_([A-Za-z0-9]{43})")
MAX_NAME = 200
# Before nobody is an admin any more, it is told for so long.
ADMIN_WARNING = timedelta(days=14)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class KeyStatus(StrEnum):
    """Whether a key opens anything, by the database's clock. One that was rotated is active until it expires."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept: `secret_sha256` in hex, never the secret. `expires_at` None: never.

    `name` says to people what it is for.
    """

    id: str
    owner: str
    secret_sha256: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None = None
    name: str = ""


class KeyUse(msgspec.Struct, frozen=True):
    """A key and what became of it: used last (to the hour), and the id of the key that replaced it."""

    key: ApiKey
    created_at: datetime
    last_used_at: datetime | None
    replaced_by: str | None


class Expiring(Protocol):
    """What of a key says until when it is an admin's."""

    @property
    def id(self) -> str: ...
    @property
    def scopes(self) -> tuple[Scope, ...]: ...
    @property
    def expires_at(self) -> datetime | None: ...


class LastAdmin(NamedTuple):
    """The key with the scope admin that is valid longest, and until when; None: for ever."""

    key_id: str
    expires_at: datetime | None

    @property
    def ends_soon(self) -> bool:
        """Whether it is time to tell, or too late already."""
        return self.expires_at is not None and self.expires_at - datetime.now(UTC) < ADMIN_WARNING


def last_admin(keys: Iterable[Expiring]) -> LastAdmin | None:
    """Of keys that are not revoked, the last one to be an admin's. None: no key has that scope."""
    admins = [LastAdmin(key.id, key.expires_at) for key in keys if Scope.ADMIN in key.scopes]
    return max(admins, key=lambda one: one.expires_at or datetime.max.replace(tzinfo=UTC), default=None)


class Token(NamedTuple):
    """What is sent as a key, `text`, to be shown once; and what is kept of it."""

    text: str
    id: str
    secret_sha256: str


def make_token() -> Token:
    """A new one. The secret has 256 bits (43 of 62 letters)."""
    key_id = "".join(secrets.choice(ALPHABET[26:]) for _ in range(12)).lower()
    secret = "".join(secrets.choice(ALPHABET) for _ in range(43))
    return Token(f"gm_{key_id}_{secret}", key_id, digest(secret))


def make_key(
    owner: str, scopes: Sequence[Scope], *, expires_at: datetime | None = None, name: str = ""
) -> tuple[str, ApiKey]:
    """A new token, to be shown once, and the key to keep."""
    token = make_token()
    return token.text, ApiKey(token.id, owner, token.secret_sha256, tuple(scopes), expires_at, name)


def split_token(token: str) -> tuple[str, str] | None:
    """The id and the secret of a token; None when it has not the shape of one."""
    match = TOKEN.fullmatch(token)
    return (match[1], match[2]) if match else None


def bootstrap_key(token: str, *, owner: str = "admin") -> ApiKey:
    """The key that a deployment starts with, from its token: all scopes.

    Raises:
        ConfigurationError: the token has not the shape of one.
    """
    parts = split_token(token)
    if parts is None:
        raise ConfigurationError("BOOTSTRAP_API_KEY must look like gm_<12 letters>_<43 letters>: `gristmill secrets`")
    return ApiKey(parts[0], owner, digest(parts[1]), tuple(Scope))


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
