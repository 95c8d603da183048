"""The closed set of what may become of an attempt. Match on it with `assert_never`."""

import msgspec

from gristmill.domain.dataset import Ingested
from gristmill.domain.manifest import Manifest
from gristmill.errors import Problem


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """The work is done and its files are in the bucket; `ingested` is set for ingest alone."""

    manifest: Manifest
    ingested: Ingested | None = None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It failed and trying again can't help, or the attempts are used up."""

    problem: Problem


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """It failed and is tried again after `delay_s` seconds."""

    problem: Problem
    delay_s: float


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    """It was stopped because the user asked for it."""


class Interrupted(msgspec.Struct, frozen=True, tag="interrupted"):
    """The worker stops: the job goes back as it was, no attempt burnt."""


class Snoozed(msgspec.Struct, frozen=True, tag="snoozed"):
    """The processor has to wait: the job goes back for `delay_s` seconds, no attempt burnt."""

    delay_s: float


Outcome = Completed | Failed | Retry | Canceled | Interrupted | Snoozed


def outcome_name(outcome: Outcome) -> str:
    return str(outcome.__struct_config__.tag)


OUTCOME_NAMES = ("completed", "failed", "retry", "canceled", "interrupted", "snoozed")
