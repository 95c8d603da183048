"""Rows that a pass over scores holds on to, as they are: the result is made from them, and nothing is read again."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors.columns import MIB, exactly
from gristmill.processors.contract import ROW
from gristmill.processors.fresh import fresh, holds_texts

HELD_BYTES = 32 * MIB
"""More is not held; the rows are read again then."""

Held = tuple[pl.DataFrame, ...] | None
"""Frames with `ROW` in the order of the dataset, none for no rows; None: they were not held, or became too many."""


def gathered(rows: pl.DataFrame, places: npt.NDArray[np.intp]) -> pl.DataFrame:
    """The rows at these places, which hold on to nothing of the others."""
    found = rows[places]
    return found.with_columns(
        fresh(exactly(name), dtype).alias(name) for name, dtype in found.schema.items() if holds_texts(dtype)
    )


def joined(parts: Sequence[Held]) -> Held:
    """Of neighbouring rows."""
    frames: list[pl.DataFrame] = []
    for part in parts:
        if part is None:
            return None
        frames += part
    return tuple(frames)


def narrowed(held: Held, numbers: npt.NDArray[np.uint64]) -> Held:
    """Those with these row numbers. A frame of no rows stays: it tells the columns."""
    if not held:
        return held
    frame = pl.concat(held)
    found = gathered(frame, np.flatnonzero(np.isin(frame.get_column(ROW).to_numpy(), numbers)))
    return (found,) if found.estimated_size() <= HELD_BYTES else None
