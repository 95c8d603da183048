"""A column of a table."""

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A column's name and its type, as Polars writes it: `Int64`, `Float64`, `String`, `Date`, `Boolean`, …"""

    name: str
    type: str
