"""Tells webhooks of jobs that became final: at least once each, from whichever worker is there first.

The receiver's address is looked up once, checked, and connected to: a name can't lead elsewhere in between.
"""

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from gristmill.db.engine import Database
from gristmill.db.rows import EventRow
from gristmill.db.webhooks import (
    DueDelivery,
    claim_deliveries,
    disable_webhook,
    note_final_jobs,
    record_attempt,
)
from gristmill.domain.webhook import DeliveryStatus, Network, delay_s, headers, literal_may_be, may_go_to
from gristmill.errors import Problem
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.tasks import Counts

log = get_logger(__name__)

AT_ONCE = 20
NOTED_AT_ONCE = 500
# Beyond the time that an attempt may take: then its worker is dead.
LEASE_MARGIN_S = 30.0
GONE = 410
UNREACHED = "The receiver can't be reached, or its certificate does not fit."
FORBIDDEN_TARGET = "The name leads to an address where nothing is sent."


@dataclass(frozen=True)
class Answer:
    """What came of one attempt. `error` is told to the owner; `asked_s`: what the receiver asked to wait."""

    status: int | None
    error: str | None
    asked_s: float = 0.0


class Refused(OSError):
    """The receiver's name leads where we do not go."""


class Deliverer:
    """Any number of workers may do it at the same time: each takes other deliveries."""

    name = "deliverer"
    interval = 1.0

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._rng = random.Random()

    async def run_once(self) -> Counts:
        noted = await note_final_jobs(self._database, limit=NOTED_AT_ONCE)
        lease_s = self._settings.webhook_timeout_s + LEASE_MARGIN_S
        sent = 0
        while due := await claim_deliveries(self._database, limit=AT_ONCE, lease_s=lease_s):
            await asyncio.gather(*map(self._deliver, due))
            sent += len(due)
        return {"noted": noted, "sent": sent}

    def _session(self, *, secure: bool) -> aiohttp.ClientSession:
        """A session an attempt: no connection, cookie or looked-up name is kept for the next one."""
        resolver = GuardedResolver(self._settings.webhook_targets, secure=secure)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        timeout = aiohttp.ClientTimeout(total=self._settings.webhook_timeout_s)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def _deliver(self, due: DueDelivery) -> None:
        if due.event is None or due.disabled is not None:
            why = "The job was forgotten." if due.event is None else f"The webhook is {due.disabled}."
            await record_attempt(self._database, due, DeliveryStatus.FAILED, response_status=None, error=why)
            return
        answer = await self._attempt(due, body_of(due.event))
        log.info("webhook.attempted", delivery_id=str(due.id), attempt=due.attempts, status=answer.status)
        if answer.status == GONE:
            await disable_webhook(self._database, due.webhook_id)
        wait_s = delay_s(due.attempts, self._rng, asked_s=answer.asked_s)
        if answer.error is None:
            status = DeliveryStatus.DELIVERED
        elif answer.status == GONE or wait_s is None:
            status = DeliveryStatus.FAILED
        else:
            status = DeliveryStatus.PENDING
        await record_attempt(
            self._database, due, status, response_status=answer.status, error=answer.error, delay_s=wait_s or 0.0
        )

    async def _attempt(self, due: DueDelivery, body: bytes) -> Answer:
        if not literal_may_be(due.url, self._settings.webhook_targets):
            return Answer(None, FORBIDDEN_TARGET)
        sent = {"Content-Type": "application/json", "User-Agent": "gristmill"}
        sent |= headers(due.id, due.now, body, due.secrets)
        try:
            # The body of the answer is not read: nobody is told of it.
            async with (
                self._session(secure=urlsplit(due.url).scheme == "https") as session,
                session.post(due.url, data=body, headers=sent, allow_redirects=False) as response,
            ):
                if 200 <= response.status < 300:
                    return Answer(response.status, None)
                asked_s = _seconds(response.headers.get("Retry-After"))
                return Answer(response.status, f"The receiver answered {response.status}.", asked_s)
        except TimeoutError:
            return Answer(None, "The receiver did not answer in time.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _why(error))


class GuardedResolver(AbstractResolver):
    """Finds the addresses of a name, and refuses it when one of them is not to be gone to."""

    def __init__(self, allowed: Sequence[Network], *, secure: bool) -> None:
        self._allowed = allowed
        self._secure = secure
        self._plain = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._plain.resolve(host, port, family)
        for each in found:
            address = ip_address(each["host"].partition("%")[0])
            if not may_go_to(address, self._allowed, secure=self._secure):
                raise Refused(FORBIDDEN_TARGET)
        return found

    async def close(self) -> None:
        await self._plain.close()


def body_of(event: EventRow) -> bytes:
    """The end of a job, in the form that Standard Webhooks proposes. A failed job's error is as the API tells it."""
    data = msgspec.json.decode(event.data, type=dict[str, msgspec.Raw]) if event.data is not None else {}
    told: dict[str, object] = {"job_id": event.job_id, "event_id": event.id, "attempt": event.attempt}
    if "error" in data:
        problem = msgspec.json.decode(data["error"], type=Problem)
        named = {"type": problem.type, "title": problem.title, "detail": problem.detail, "errors": problem.errors}
        told["error"] = named
    if "reused_from" in data:
        told["reused_from"] = data["reused_from"]
    return msgspec.json.encode({"type": f"job.{event.type}", "timestamp": event.at, "data": told})


def _why(error: Exception) -> str:
    if isinstance(error, Refused) or isinstance(error.__cause__, Refused):
        return FORBIDDEN_TARGET
    return UNREACHED


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 9 else 0.0
