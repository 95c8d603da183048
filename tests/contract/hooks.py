"""For Schemathesis: data of formats that it does not know is sent as it is, and a sequence's requests are new ones."""

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext, SerializationContext
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

KEY = "Idempotency-Key"


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
def as_it_is(_: SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], **__: object) -> None:
    """A key that was sent before has the first answer told again, of what may be removed since: that is the promise,
    and to a fuzzer a thing that was made and is not there. The other phases send keys again.
    """
    if case.meta is None or case.meta.phase.name is not TestPhase.STATEFUL:
        return
    if case.meta.generation.mode is GenerationMode.POSITIVE and KEY in case.headers:
        case.headers[KEY] = str(uuid4())
