"""Fitted steps as a document: written with a result, applied to other data, and undone."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import cleaning, clipping, duplicates, filling, scaling
from gristmill.processors.cleaning import CleanText, RenameFitted, TextFitted
from gristmill.processors.clipping import ClipFitted, Clipped
from gristmill.processors.contract import finite
from gristmill.processors.duplicates import DropDuplicates, DuplicateFitted, DuplicatePlan
from gristmill.processors.filling import Fill, FillFitted, FillPlan, Strategy
from gristmill.processors.scaling import ScaleFitted, Scaling

StepFitted = DuplicateFitted | FillFitted | ClipFitted | TextFitted | RenameFitted | ScaleFitted
Ready = DuplicatePlan | FillPlan | StepFitted
"""A step of a document: fitted, or to be fitted again where it goes by rows, which differ from dataset to dataset."""


class FilledNulls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="fill_nulls"):
    """What went into each column; for `drop` the columns that may miss nothing, for `forward` those that are filled."""

    strategy: Annotated[Strategy, Meta(description="What went in.")]
    columns: Annotated[tuple[Fill | str, ...], Meta(description="Each column with its value, or its name.")]


class Scaled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="scale"):
    """How each column was scaled."""

    method: Annotated[scaling.Method, Meta(description="The formula.")]
    columns: Annotated[tuple[Scaling, ...], Meta(description="Each column with its figures.")]


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="clip"):
    """How each column was clipped."""

    columns: Annotated[tuple[Clipped, ...], Meta(description="Each column with its bounds.")]


class Renamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="rename_columns"):
    """New names by old ones."""

    names: Annotated[dict[str, str], Meta(description="The new name by the old one.")]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `fitted.json` of a result of the kind `normalize`, as it is."""

    kind: Annotated[Literal["normalize"], Meta(description="Whose document it is.")]
    version: Annotated[int, Meta(ge=1, description="That of the kind which wrote it.")]
    steps: Annotated[
        tuple[DropDuplicates | FilledNulls | Cut | CleanText | Renamed | Scaled, ...],
        Meta(description="What was done, in this order."),
    ]


def describe(step: StepFitted) -> dict[str, object]:
    """A fitted step as people and programs read it: enough to apply it to other data."""
    match step:
        case DuplicateFitted():
            return {"op": "drop_duplicates", "keep": step.keep.value, "subset": list(step.columns)}
        case FillFitted():
            columns: object = [msgspec.to_builtins(fill) for fill in step.fills] or list(step.columns)
            return {"op": "fill_nulls", "strategy": step.strategy.value, "columns": columns}
        case ClipFitted():
            return {"op": "clip", "columns": [msgspec.to_builtins(clipped) for clipped in step.columns]}
        case TextFitted():
            plain = msgspec.to_builtins(msgspec.structs.replace(step.step, columns=step.columns))
            return dict(msgspec.convert(plain, dict[str, object]))
        case RenameFitted():
            return {"op": "rename_columns", "names": step.names}
        case ScaleFitted():
            scalings = [msgspec.to_builtins(found) for found in step.scalings]
            return {"op": "scale", "method": step.method.value, "columns": scalings}
        case _:
            assert_never(step)


def written(steps: Sequence[StepFitted], *, version: int) -> Mapping[str, bytes]:
    """The document of fitted steps, by its file name."""
    document = {"kind": "normalize", "version": version, "steps": [describe(step) for step in steps]}
    return {"fitted.json": msgspec.json.format(msgspec.json.encode(finite(document)), indent=2)}


def follow(recipe: Recipe, columns: tuple[Column, ...], *, pointer: str) -> tuple[Ready, ...]:
    """The steps of a document, ready for a dataset of these columns. Raises InvalidRequest where they do not fit."""
    ready: list[Ready] = []
    for place, step in enumerate(recipe.steps):
        at = f"{pointer}/steps/{place}"
        match step:
            case DropDuplicates():
                ready.append(duplicates.plan(step, columns, at))
            case FilledNulls():
                fill = _fill(step, columns, at)
                ready.append(fill)
                columns = filling.after(fill, columns)
            case Cut():
                cut = clipping.ready(ClipFitted(step.columns), columns, at)
                ready.append(cut)
                columns = clipping.after(cut, columns)
            case CleanText():
                ready.append(cleaning.plan_text(step, columns, at))
            case Renamed():
                ready.append(cleaning.ready_names(RenameFitted(step.names), columns, at))
                columns = cleaning.after(RenameFitted(step.names), columns)
            case Scaled():
                scale = scaling.ready(ScaleFitted(step.method, step.columns), columns, at)
                ready.append(scale)
                columns = scaling.after_all(step.columns, columns)
    return tuple(ready)


def undo(recipe: Recipe, columns: tuple[Column, ...], *, pointer: str) -> tuple[tuple[Ready, ...], tuple[str, ...]]:
    """The steps that take scaled numbers and names back, last step first, and what can't be undone."""
    ready: list[Ready] = []
    warnings: list[str] = []
    for place, step in reversed(list(enumerate(recipe.steps))):
        if isinstance(step, Scaled):
            scale = ScaleFitted(step.method, step.columns, inverse=True)
            ready.append(scaling.ready(scale, columns, f"{pointer}/steps/{place}"))
            columns = scaling.after_all(step.columns, columns)
        elif isinstance(step, Renamed):
            names = RenameFitted({new: old for old, new in step.names.items()})
            ready.append(cleaning.ready_names(names, columns, f"{pointer}/steps/{place}"))
            columns = cleaning.after(names, columns)
        else:
            op = step.__struct_config__.tag
            warnings.append(f"Step {place} ({op}) is not undone: what it took away is not kept.")
    if not ready:
        fault = Fault(f"{pointer}/steps", "No step of the document can be undone.")
        raise InvalidRequest("There is nothing to undo.", errors=(fault,))
    return tuple(ready), tuple(warnings)


def _fill(step: FilledNulls, columns: tuple[Column, ...], at: str) -> FillPlan | FillFitted:
    names = tuple(part.column if isinstance(part, Fill) else part for part in step.columns)
    fills = tuple(part for part in step.columns if isinstance(part, Fill))
    if step.strategy.fits_anew:
        return filling.plan(filling.FillNulls(step.strategy, columns=names or None), columns, at)
    return filling.ready(FillFitted(step.strategy, names, fills), columns, at)
