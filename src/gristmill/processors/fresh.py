"""Texts made anew, so that a few rows of a frame do not hold on to the text of all the others.

A text of Polars is a place in a buffer that many share: of 60 M rows, the texts of some thousand that were picked held
over 512 MiB until a row group of the result was full.
"""

import polars as pl


def holds_texts(dtype: pl.DataType) -> bool:
    """Whether values of the type are texts or bytes, or have some in them."""
    match dtype:
        case pl.String() | pl.Binary():
            return True
        case pl.List() | pl.Array():
            return holds_texts(_inner(dtype))
        case pl.Struct():
            return any(holds_texts(_type(field)) for field in dtype.fields)
        case _:
            return False


def fresh(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The same values, whose texts and bytes are in buffers of their own."""
    match dtype:
        case pl.String():
            return column + ""
        case pl.Binary():
            # There is no other way to have bytes copied: slices and casts are places in the same buffer.
            return column.bin.encode("hex").str.decode("hex")
        case pl.List():
            return column.list.eval(fresh(pl.element(), _inner(dtype)))
        case pl.Array():
            as_list = pl.List(_inner(dtype))
            return fresh(column.cast(as_list), as_list).cast(dtype)
        case pl.Struct():
            fields = [field for field in dtype.fields if holds_texts(_type(field))]
            return column.struct.with_fields(
                fresh(pl.field(field.name), _type(field)).alias(field.name) for field in fields
            )
        case _:
            return column


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    found = dtype.inner
    return found() if isinstance(found, type) else found


def _type(field: pl.Field) -> pl.DataType:
    found = field.dtype
    return found() if isinstance(found, type) else found
