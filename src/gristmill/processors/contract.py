"""What every processor is: a pure, mergeable fit and a row-wise apply.

plan     columns and params, checked          no data is read
partial  one part of the rows   ─▶ a state    states are small and can cross machines
merge    states                 ─▶ a state    associative, in the order of the parts
finish   a state                ─▶ the fitted figures, or Again: one more pass with a better plan
recall   what ingest kept       ─▶ the fitted figures without a pass, where that is enough
apply    rows and fitted figures ─▶ rows       streaming, row by row
report   what people read, as JSON
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.domain.pointer import fault
from gristmill.errors import Fault, InvalidRequest

ROW = "__gristmill_row__"
"""The UInt64 column that frames given to `partial` and `apply` carry: the row's 0-based number in the dataset."""

P = TypeVar("P", bound=msgspec.Struct)
L = TypeVar("L", bound="Planned")
S = TypeVar("S", bound=msgspec.Struct)
F = TypeVar("F", bound=msgspec.Struct)
T = TypeVar("T")


class PlannedStep(msgspec.Struct, frozen=True):
    """One thing that a job does, and the names of the columns it does it to, in order."""

    op: str
    columns: tuple[str, ...]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every plan: what the user should know before the job runs, and how many columns (of numbers) are
    looked at together, by the memory there is (see `columns.together`).
    """

    warnings: tuple[str, ...] = ()
    width: int = 32

    @property
    def looks(self) -> int:
        """How often the next pass looks at each part: once for each group of columns. Progress is counted by it."""
        return 1

    def outline(self) -> tuple[PlannedStep, ...]:
        """What the job will do, with patterns and defaults resolved; nothing where a kind has no more to tell."""
        return ()


class Again(msgspec.Struct, Generic[L], frozen=True):
    """One more pass over the data is needed, with this plan."""

    plan: L


class Fit(ABC, Generic[P, L, S, F]):
    """A pure, mergeable look at data in as many passes as it takes."""

    @abstractmethod
    def plan(self, columns: Sequence[Column], params: P) -> L:
        """Resolve and check the columns. Raises InvalidRequest with a pointer for each fault."""

    @abstractmethod
    def partial(self, frame: pl.LazyFrame, plan: L) -> S:
        """Reduce one part of the rows (with `ROW`) to a state."""

    @abstractmethod
    def merge(self, states: Sequence[S]) -> S:
        """Join the states (at least one) of neighbouring parts, in their order. Associative."""

    @abstractmethod
    def finish(self, plan: L, state: S) -> F | Again[L]:
        """The fitted figures, or a plan for one more pass."""

    def least_memory(self, plan: L) -> int:
        """Bytes that the plan takes however few columns are looked at together, beyond what an executor takes at rest.

        A plan that does not fit is refused before any data is read.
        """
        return 0


class Processor(Fit[P, L, S, F]):
    """A kind of job. The docstring of a subclass is the published documentation of its kind.

    `Params` is a frozen struct that forbids unknown fields; `example` are params that work. With rows in the result it
    extends `forms.RowsParams`. A param that names another job or dataset is declared as `naming.py` has it.
    Raise `version` whenever the same input would give other figures: finished work is reused by version.
    `table` names the one file that all parts are written to; without it, each part becomes a file.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    Params: ClassVar[type[msgspec.Struct]]
    example: ClassVar[Mapping[str, object]]
    table: ClassVar[str | None] = None

    def informed(self, plan: L, surveyed: Mapping[str, Any]) -> L:
        """The plan with what was found in the datasets that params name, by param. Only with such params."""
        return plan

    def recall(self, plan: L, kept: bytes) -> F | Again[L] | None:
        """The fitted figures, or a plan for fewer passes, from what `metrics` keeps of a dataset at its ingest.

        None: it does not help. The result is the same to the last byte, with or without it.
        """
        return None

    def apply(self, frame: pl.LazyFrame, plan: L, fitted: F) -> pl.LazyFrame | None:
        """The result's rows for these rows (with `ROW`), without `ROW`, in order. None: there is no table."""
        return None

    def held(self, plan: L, fitted: F) -> pl.LazyFrame | None:
        """All rows of the result, as `apply` would make them of all parts, where the fit has them already.

        None: it has not, and the parts are read once more. Only with a `table`.
        """
        return None

    @classmethod
    def recalls(cls) -> bool:
        """Whether what ingest kept of a dataset is of any use to this kind."""
        return cls.recall is not Processor.recall

    @classmethod
    def makes_rows(cls) -> bool:
        """Whether results of this kind have rows, which another job can work on."""
        return cls.apply is not Processor.apply

    @abstractmethod
    def report(self, plan: L, fitted: F) -> dict[str, object]:
        """What people read. Labels each figure exact or approximate and states the conventions."""

    def documents(self, plan: L, fitted: F) -> Mapping[str, bytes]:
        """Further JSON files of the result, by name."""
        return {}


def decode_params(processor: Processor[Any, Any, Any, Any], raw: bytes) -> msgspec.Struct:
    """Params as sent, checked against the processor's struct. Raises InvalidRequest, pointing under `/params`."""
    try:
        return msgspec.json.decode(raw or b"{}", type=processor.Params)
    except msgspec.ValidationError as error:
        where = fault(str(error), "/params")
        raise InvalidRequest(f"The params do not fit the kind {processor.kind}.", errors=(where,)) from None
    except msgspec.DecodeError:
        where = Fault("/params", "Not valid JSON.")
        raise InvalidRequest(f"The params of kind {processor.kind} are not JSON.", errors=(where,)) from None


def finite(value: object) -> object:
    """The same value with every NaN and infinity in it as None, for JSON."""
    # Most values are of these very types, and asking for that is the cheapest.
    kind = type(value)
    if kind is float:
        return value if math.isfinite(cast("float", value)) else None
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return finite(value.item()) if isinstance(value, np.generic) else value


def pack(value: object) -> bytes:
    """A state, plan or fitted struct as MessagePack."""
    return msgspec.msgpack.encode(value, enc_hook=_outward)


def unpack(raw: bytes, kind: type[T]) -> T:
    """What `pack` wrote."""
    return msgspec.msgpack.decode(raw, type=kind, dec_hook=_inward)


def _outward(value: object) -> object:
    if isinstance(value, np.ndarray):
        return (value.dtype.str, list(value.shape), value.tobytes())
    if isinstance(value, pl.DataFrame):
        buffer = io.BytesIO()
        value.write_ipc(buffer)
        return buffer.getvalue()
    raise NotImplementedError(f"{type(value).__name__} is not part of a state")


def _inward(kind: type, value: Any) -> object:
    if kind is np.ndarray or getattr(kind, "__origin__", None) is np.ndarray:
        dtype, shape, raw = value
        return np.frombuffer(raw, dtype=dtype).reshape(shape)
    if kind is pl.DataFrame:
        return pl.read_ipc(io.BytesIO(value))
    raise NotImplementedError(f"{kind} is not part of a state")
