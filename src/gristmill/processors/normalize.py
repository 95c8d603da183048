"""The kind `normalize`: a dataset without duplicates and gaps, its numbers on one scale."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Annotated, assert_never
from uuid import UUID

import msgspec
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors import cleaning, clipping, duplicates, filling, recalled, recipe, scaling, spread
from gristmill.processors.cleaning import CleanText, RenameColumns, RenameFitted, TextFitted
from gristmill.processors.clipping import Clip, ClipFitted, Clipped, ClipPlan, ClipState
from gristmill.processors.columns import batches, together
from gristmill.processors.contract import ROW, Again, Planned, PlannedStep, Processor
from gristmill.processors.duplicates import DropDuplicates, DuplicateFitted, DuplicatePlan, DuplicateState
from gristmill.processors.filling import FillFitted, FillNulls, FillPlan, FillState, Strategy
from gristmill.processors.forms import RowsParams
from gristmill.processors.naming import ResultDocument, names
from gristmill.processors.recalled import Recalled
from gristmill.processors.recipe import Recipe, StepFitted, describe
from gristmill.processors.scaling import Scale, ScaleFitted, ScalePlan, ScaleState, Scaling

Step = DropDuplicates | FillNulls | Clip | CleanText | RenameColumns | Scale
StepPlan = DuplicatePlan | FillPlan | ClipPlan | ScalePlan
StepState = DuplicateState | FillState | ClipState | ScaleState


class NormalizeParams(RowsParams, frozen=True, forbid_unknown_fields=True):
    """What to do: steps to fit and apply, or the document of steps that were fitted before."""

    steps: Annotated[
        Annotated[tuple[Step, ...], Meta(min_length=1, max_length=50)] | None, Meta(description="Done in this order.")
    ] = None
    fitted: Annotated[Recipe | None, Meta(description="The `fitted.json` of another result.")] = None
    fitted_from: Annotated[
        UUID | None,
        names(ResultDocument("fitted.json", into="fitted"), "A completed job: its `fitted.json` is the document."),
    ] = None
    inverse: Annotated[bool, Meta(description="Take scaled numbers back, by the document.")] = False


class Plan(Planned, frozen=True, kw_only=True):
    """`steps` are still to be fitted, the first of them now; `fitted` are done, in order."""

    steps: tuple[StepPlan | StepFitted, ...]
    inverse: bool = False
    fitted: tuple[StepFitted, ...] = ()
    rows: int | None = None

    def outline(self) -> tuple[PlannedStep, ...]:
        return tuple(_outlined(step) for step in (*self.fitted, *self.steps))

    @property
    def looks(self) -> int:
        match self.steps[0] if self.steps else None:
            case DuplicatePlan() as step:
                return len(together(step.columns, self.width))
            case FillPlan() as step:
                return len(together(filling.looked_at(step), self.width))
            case ScalePlan() as step:
                return len(together(scaling.looked_at(step), self.width))
            case ClipPlan() as step:
                return len(together(spread.still_open(step.spreads, step.columns), self.width))
            case _:
                return 1


class State(msgspec.Struct, frozen=True):
    """The step being fitted, and the rows that reach it."""

    step: StepState | None
    rows: int


class Fitted(msgspec.Struct, frozen=True):
    steps: tuple[StepFitted, ...]
    rows: int


class Normalize(Processor[NormalizeParams, Plan, State, Fitted]):
    """Cleans a dataset and brings its numbers to one scale, by steps in the order given.

    - `drop_duplicates`: rows that are the same in the `subset` columns (default: all); `keep` first, last or none.
    - `fill_nulls`: `mean`, `median`, `mode`, a `constant`, the value `forward` from above, or `drop` the rows.
      NaN counts as missing.
    - `clip`: numbers beyond `low` and `high`, or beyond each column's `quantiles`, become that bound (winsorizing).
    - `clean_text`: `unicode` normal form, `trim`, `collapse` white space, `case`, `null_tokens`, `date_format`.
    - `rename_columns`: names in `snake_case`.
    - `scale`: `zscore`, `minmax` (into `range`), `robust`, `maxabs`, `quantile` or `power` (Yeo-Johnson, Box-Cox), as
      scikit-learn's scalers. A constant column becomes 0.

    Each step is fitted on the data as the steps before it leave it. Null, NaN and infinite values take no part in a
    fit; what a step does not fill stays. All fitted figures are exact but the quantiles of
    `quantile`, which can be approximate and are labelled.

    The result has every row that was not dropped, in the order of the dataset, and `fitted.json` with the fitted
    figures of each step. Given as `fitted`, or by the id of its job as `fitted_from`, that document does the same to
    other data: numbers are scaled and gaps filled as there, and rows dropped by the same rules. With `inverse`, scaled
    numbers (in Float64) and names are taken back.
    """

    kind = "normalize"
    version = 2
    Params = NormalizeParams
    example = {  # noqa: RUF012 - read only
        "steps": [
            {"op": "drop_duplicates"},
            {"op": "fill_nulls", "strategy": "median"},
            {"op": "scale", "method": "zscore"},
        ]
    }

    def plan(self, columns: Sequence[Column], params: NormalizeParams) -> Plan:
        if params.fitted is not None or params.steps is None:
            return _ahead(_by_recipe(tuple(columns), params))
        if params.inverse:
            fault = Fault("/params/inverse", "Only a fitted document can be undone.")
            raise InvalidRequest("There is nothing to undo.", errors=(fault,))
        present = tuple(columns)
        steps: list[StepPlan | StepFitted] = []
        for place, step in enumerate(params.steps):
            planned, present = _plan(step, present, f"/params/steps/{place}")
            steps.append(planned)
        return _ahead(Plan(steps=tuple(steps)))

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> State:
        if not plan.steps:
            return State(None, sum(batch.height for batch in batches(frame, ())))
        return _partial(reduce(_apply, plan.fitted, frame), _open(plan.steps[0]), plan.width)

    def merge(self, states: Sequence[State]) -> State:
        return State(_merge([state.step for state in states]), sum(state.rows for state in states))

    def finish(self, plan: Plan, state: State) -> Fitted | Again[Plan]:
        # Only constants come before the first pass, and they drop nothing: its rows are the dataset's.
        rows = state.rows if plan.rows is None else plan.rows
        plan = msgspec.structs.replace(plan, rows=rows)
        if state.step is not None:
            plan = _ahead(_advance(plan, state.step))
        return Again(plan) if plan.steps else Fitted(plan.fitted, rows)

    def recall(self, plan: Plan, kept: bytes) -> Fitted | Again[Plan] | None:
        """Step after step, as long as they are fitted on numbers that no step before has changed."""
        found = recalled.recall(kept)
        if found is None:
            return None
        ahead, steps = msgspec.structs.replace(plan, rows=found.rows), len(plan.steps)
        while ahead.steps and (fitted := _recalled(ahead, found)) is not None:
            ahead = _ahead(msgspec.structs.replace(ahead, steps=ahead.steps[1:], fitted=(*ahead.fitted, fitted)))
        if not ahead.steps:
            return Fitted(ahead.fitted, found.rows)
        return Again(ahead) if len(ahead.steps) < steps else None

    def apply(self, frame: pl.LazyFrame, plan: Plan, fitted: Fitted) -> pl.LazyFrame:
        return reduce(_apply, fitted.steps, frame).select(pl.exclude(ROW))

    def report(self, plan: Plan, fitted: Fitted) -> dict[str, object]:
        entries: list[dict[str, object]] = []
        rows = fitted.rows
        for step in fitted.steps:
            dropped = _dropped(step)
            counts = {"rows_in": rows, "rows_out": rows - dropped, "rows_dropped": dropped}
            entries.append({**describe(step), **counts})
            rows -= dropped
        return {
            "rows_in": fitted.rows,
            "rows_out": rows,
            "rows_dropped": fitted.rows - rows,
            "steps": entries,
            "accuracy": "approximate" if any(_is_rough(step) for step in fitted.steps) else "exact",
            "conventions": {
                "scale": "zscore has ddof 0, robust has linear quartiles, as scikit-learn",
                "missing": "NaN is treated as null",
                "infinite": "no part in a fit, kept",
                "mode": "of equally frequent values the smallest",
                "duplicates": "rows compared by 128 bits of hash; null equals null",
            },
            "warnings": [*plan.warnings, *_warnings(fitted)],
        }

    def documents(self, plan: Plan, fitted: Fitted) -> Mapping[str, bytes]:
        return {} if plan.inverse else recipe.written(fitted.steps, version=self.version)


def _plan(step: Step, columns: tuple[Column, ...], pointer: str) -> tuple[StepPlan | StepFitted, tuple[Column, ...]]:
    """The step's plan, and the columns as it leaves them."""
    match step:
        case DropDuplicates():
            return duplicates.plan(step, columns, pointer), columns
        case FillNulls():
            fill = filling.plan(step, columns, pointer)
            return fill, filling.after(fill, columns)
        case Clip():
            clip = clipping.plan(step, columns, pointer)
            return clip, clipping.after(clip, columns)
        case CleanText():
            return cleaning.plan_text(step, columns, pointer), columns
        case RenameColumns():
            names = cleaning.plan_names(columns)
            return names, cleaning.after(names, columns)
        case Scale():
            scale = scaling.plan(step, columns, pointer)
            return scale, scaling.after(scale, columns)
        case _:
            assert_never(step)


def _outlined(step: StepPlan | StepFitted) -> PlannedStep:
    columns: Sequence[Column | Clipped | Scaling | str]
    match step:
        case DuplicatePlan() | DuplicateFitted():
            op, columns = "drop_duplicates", step.columns
        case FillPlan() | FillFitted():
            op, columns = "fill_nulls", step.columns
        case ClipPlan() | ClipFitted():
            op, columns = "clip", step.columns
        case ScalePlan():
            op, columns = "scale", step.columns
        case ScaleFitted():
            op, columns = "unscale" if step.inverse else "scale", step.scalings
        case TextFitted():
            op, columns = "clean_text", step.columns
        case RenameFitted():
            op, columns = "rename_columns", tuple(step.names)
        case _:
            assert_never(step)
    return PlannedStep(op, _names(columns))


def _names(columns: Sequence[Column | Clipped | Scaling | str]) -> tuple[str, ...]:
    return tuple(
        column if isinstance(column, str) else column.name if isinstance(column, Column) else column.column
        for column in columns
    )


def _by_recipe(columns: tuple[Column, ...], params: NormalizeParams) -> Plan:
    """The plan of a fitted document, forward or back."""
    document = params.fitted
    if document is None or params.steps is not None:
        fault = Fault("/params", "Give either steps or a fitted document.")
        raise InvalidRequest("The params do not fit each other.", errors=(fault,))
    if not params.inverse:
        return Plan(steps=recipe.follow(document, columns, pointer="/params/fitted"))
    steps, warnings = recipe.undo(document, columns, pointer="/params/fitted")
    return Plan(steps=steps, warnings=warnings, inverse=True)


def _open(step: StepPlan | StepFitted) -> StepPlan:
    """The step to be fitted now: those that are fitted were passed over."""
    if isinstance(step, DuplicatePlan | FillPlan | ClipPlan | ScalePlan):
        return step
    raise TypeError(f"{type(step).__name__} is fitted already")


def _ahead(plan: Plan) -> Plan:
    """Past the steps that need no data."""
    steps, fitted = list(plan.steps), list(plan.fitted)
    while steps:
        step = steps[0]
        if isinstance(step, FillPlan) and not step.needs_data:
            fitted.append(filling.constant(step))
        elif isinstance(step, DuplicatePlan | FillPlan | ClipPlan | ScalePlan):
            break
        else:
            fitted.append(step)
        del steps[0]
    return msgspec.structs.replace(plan, steps=tuple(steps), fitted=tuple(fitted))


def _partial(frame: pl.LazyFrame, step: StepPlan, width: int) -> State:
    match step:
        case DuplicatePlan():
            return State(*duplicates.partial(frame, step, width))
        case FillPlan():
            return State(*filling.partial(frame, step, width))
        case ClipPlan():
            return State(*clipping.partial(frame, step, width))
        case ScalePlan():
            return State(*scaling.partial(frame, step, width))
        case _:
            assert_never(step)


def _recalled(plan: Plan, found: Recalled) -> StepFitted | None:
    """The next step, if its columns are as they were at ingest."""
    changed: set[str] = set()
    for fitted in plan.fitted:
        match fitted:
            case TextFitted():
                continue
            case FillFitted() if not fitted.dropped and fitted.strategy is not Strategy.DROP:
                changed |= {name for name in fitted.columns if not found.gapless(name)}
            case ClipFitted():
                changed |= {clipped.column for clipped in fitted.columns}
            case ScaleFitted():
                changed |= {scaling.column for scaling in fitted.scalings}
            case _:
                return None
    step = plan.steps[0]
    if isinstance(step, DuplicatePlan) or changed & set(_outlined(step).columns):
        return None
    match step:
        case FillPlan():
            return filling.recalled(step, found)
        case ClipPlan():
            return clipping.recalled(step, found)
        case ScalePlan():
            return scaling.recalled(step, found)
        case _:
            return None


def _merge(states: Sequence[StepState | None]) -> StepState | None:
    """All are of one step, so of one type."""
    doubled = [state for state in states if isinstance(state, DuplicateState)]
    filled = [state for state in states if isinstance(state, FillState)]
    clipped = [state for state in states if isinstance(state, ClipState)]
    scaled = [state for state in states if isinstance(state, ScaleState)]
    if doubled:
        return duplicates.merge(doubled)
    if filled:
        return filling.merge(filled)
    if clipped:
        return clipping.merge(clipped)
    return scaling.merge(scaled) if scaled else None


def _advance(plan: Plan, state: StepState) -> Plan:
    """The plan once the present step has seen a pass: the step fitted, or planned anew."""
    step, *later = plan.steps
    match step, state:
        case DuplicatePlan(), DuplicateState():
            found: StepFitted | StepPlan = duplicates.finish(step, state)
        case FillPlan(), FillState():
            found = filling.finish(step, state)
        case ClipPlan(), ClipState():
            found = clipping.finish(step, state)
        case ScalePlan(), ScaleState():
            found = scaling.finish(step, state)
        case _:
            raise TypeError(f"{type(state).__name__} is no state of {type(step).__name__}")
    if isinstance(found, DuplicatePlan | FillPlan | ClipPlan | ScalePlan):
        return msgspec.structs.replace(plan, steps=(found, *later))
    return msgspec.structs.replace(plan, steps=tuple(later), fitted=(*plan.fitted, found))


def _apply(frame: pl.LazyFrame, step: StepFitted) -> pl.LazyFrame:
    match step:
        case DuplicateFitted():
            return duplicates.apply(frame, step)
        case FillFitted():
            return filling.apply(frame, step)
        case ClipFitted():
            return clipping.apply(frame, step)
        case TextFitted():
            return cleaning.apply_text(frame, step)
        case RenameFitted():
            return cleaning.apply_names(frame, step.names)
        case ScaleFitted():
            return scaling.apply(frame, step)
        case _:
            assert_never(step)


def _dropped(step: StepFitted) -> int:
    match step:
        case DuplicateFitted():
            return step.dropped
        case FillFitted():
            return step.dropped
        case ClipFitted() | TextFitted() | RenameFitted() | ScaleFitted():
            return 0
        case _:
            assert_never(step)


def _is_rough(step: StepFitted) -> bool:
    return isinstance(step, ScaleFitted) and any(scaling.error > 0 for scaling in step.scalings)


def _warnings(fitted: Fitted) -> list[str]:
    found = []
    for step in fitted.steps:
        if isinstance(step, ScaleFitted):
            found += [f"Column {scaled.column}: {scaled.note}." for scaled in step.scalings if scaled.note]
        if isinstance(step, FillFitted):
            found += [f"Column {fill.column}: the mode may be another value." for fill in step.fills if not fill.exact]
            if step.strategy is not Strategy.DROP:
                empty = [fill.column for fill in step.fills if fill.value is None]
                found += [f"Column {name}: no value to fill with." for name in empty]
    return found
