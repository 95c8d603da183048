"""Webhooks by Standard Webhooks (standardwebhooks.com): signatures, the schedule of retries, and where they may go."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

from gristmill.errors import Fault, InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PREFIX = "whsec_"
SECRET_BYTES = 32
MAX_URL = 2000
# Seconds before each attempt after the first, as the specification proposes.
DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
JITTER = 0.1
# All of IPv6 that is given out; of the rest, some is not known to the standard library as private.
UNICAST = ip_network("2000::/3")
# These carry an IPv4 address in them, which some router on the way would go to: NAT64, 6to4, Teredo.
TRANSLATED = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(delivery_id: UUID, at: datetime, body: bytes, signed_with: Sequence[str]) -> dict[str, str]:
    """The headers of one attempt: the id is that of the delivery, so a receiver knows a message that comes again."""
    message, seconds = f"msg_{delivery_id.hex}", str(int(at.timestamp()))
    content = f"{message}.{seconds}.".encode() + body
    signatures = [_signature(secret, content) for secret in signed_with]
    return {"webhook-id": message, "webhook-timestamp": seconds, "webhook-signature": " ".join(signatures)}


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def delay_s(attempts: int, rng: Random, *, asked_s: float = 0.0) -> float | None:
    """Seconds until the next attempt, after so many; None: there is none. `asked_s`: what the receiver asked for."""
    if attempts > len(DELAYS_S):
        return None
    planned = DELAYS_S[attempts - 1]
    return max(planned, min(asked_s, DELAYS_S[-1])) * (1 + rng.uniform(0, JITTER))


def may_go_to(address: Address, allowed: Sequence[Network], *, secure: bool) -> bool:
    """Whether a request that a user asks for may be sent there: to the open internet, where it is encrypted on the
    way, or where the operator says.
    """
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return may_go_to(address.ipv4_mapped, allowed, secure=secure)
    given_out = address.is_global and not address.is_multicast
    if isinstance(address, IPv6Address):
        given_out = given_out and address in UNICAST and not any(address in network for network in TRANSLATED)
    return secure and given_out


def checked_url(url: str, allowed: Sequence[Network], *, pointer: str = "/url") -> str:
    """A URL that deliveries can be tried at. Where its name leads is looked at before each of them.

    Raises:
        InvalidRequest: it is none, it carries credentials, or it is an address where nothing may be sent.
    """
    try:
        wrong = _fault(url, allowed)
    except ValueError:
        wrong = "It is no URL."
    if wrong is not None:
        raise InvalidRequest("The webhook's URL does not fit.", errors=(Fault(pointer, wrong),))
    return url


def _fault(url: str, allowed: Sequence[Network]) -> str | None:
    """What is wrong with it. Raises ValueError where it can't be read at all."""
    parts = urlsplit(url)
    if len(url) > MAX_URL or not url.isascii() or any(character <= " " for character in url):
        return f"It must be at most {MAX_URL} characters of ASCII, without spaces."
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.port == 0:
        return "It must be https://host/path."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "It must have neither user, password nor fragment."
    if parts.scheme == "http" and not allowed:
        return "It must be https."
    return None if literal_may_be(url, allowed) else "It is an address where nothing is sent."


def literal_may_be(url: str, allowed: Sequence[Network]) -> bool:
    """Whether a URL may be gone to as far as it can be seen from it: an address in it is not looked up by anybody."""
    parts = urlsplit(url)
    address = _literal(parts.hostname or "")
    return address is None or may_go_to(address, allowed, secure=parts.scheme == "https")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_secret(text: str) -> bool:
    """Whether it is a secret in the form of the specification: `whsec_` and 24 to 64 bytes in base64."""
    try:
        return text.startswith(PREFIX) and 24 <= len(base64.b64decode(text[len(PREFIX) :], validate=True)) <= 64
    except binascii.Error:
        return False
