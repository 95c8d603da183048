"""What a user may say about an upload, and the limits it is read under."""

import re
from typing import Literal

import msgspec

from gristmill.writing import row_group_rows

MIB = 1024 * 1024
NULL_TOKENS = (
    *("NA", "N/A", "n/a", "n.a.", "N.A.", "#N/A", "<NA>", "NaT", "\\N", "null", "NULL", "Null", "None", "none"),
    *("-", "--", "\N{EN DASH}", "\N{EM DASH}", "?", ".", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"),
)
TRUE_VALUES = ("true", "yes")
FALSE_VALUES = ("false", "no")

# Year, month and day in any order, and a time after them if there is one.
DATE_FORMAT = re.compile(
    r"(?=.*%[Yy])(?=.*%[mbB])(?=.*%d)(?:(?:%[YymbBd])[ ./,-]{0,2}){3}(?:T?%[HI][:.]?%M(?:[:.]?%S(?:%\.f)?)?(?: ?%p)?)?",
)
MAX_DATE_FORMATS = 10
MAX_DELIMITER = 8
MAX_SKIP_FOOTER = 100
MAX_HEADER_ROWS = 10

Encoding = Literal[
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "utf-32-le",
    "utf-32-be",
    "latin-1",
    "windows-1252",
    "windows-1250",
    "windows-1251",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-9",
    "iso-8859-15",
    "koi8-r",
    "koi8-u",
    "cp850",
    "cp866",
    "mac-roman",
    "shift-jis",
    "euc-jp",
    "euc-kr",
    "gb18030",
    "big5",
]
# As the WHATWG's Encoding Standard reads these names: with what Windows added to them.
CODECS: dict[Encoding, str] = {"shift-jis": "cp932", "euc-kr": "cp949", "big5": "cp950"}


class IngestOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """None means: found out from the data. A wrong value raises ValueError (msgspec: ValidationError).

    `strict` rejects what is otherwise repaired (short rows, extra empty cells). `max_rejected` fails the dataset
    beyond it: an integer counts rows, a float is a share of the rows read. `quote=""` switches quoting off, `escape`
    (a backslash, say) stands before a quote within a quoted cell. `skip_lines` are left out before the header, and all
    lines that begin with `comment`. `skip_footer` lines are left out at the end, blank ones not counted; 0 says that
    there is no footer, and none is looked for. The cells of `header_rows` are joined with a space to names; an empty
    cell above a filled one takes the text to its left, as merged cells are written. `sheet` names the sheet of a
    workbook; the first visible one is read without it.
    `null_tokens` stand for null in number, time and truth columns; in a text column only an empty cell is null.
    `types="text"` keeps every cell as text. `decimal` and `date_order` settle what the data leaves open: `1,234` and
    `03/04/2024`. `date_formats` are tried before all else; they have the signs of strftime, such as `%d.%m.%y`. Unless
    `true_values` or `false_values` are given, `Y` and `N`, `ja` and `nein` and other pairs are read too, in a column
    that has both words of one pair and no others.
    """

    strict: bool = False
    max_rejected: int | float | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    comment: str | None = None
    skip_lines: int | None = None
    skip_footer: int | None = None
    header_rows: int | None = None
    header: bool | None = None
    sheet: str | None = None
    null_tokens: tuple[str, ...] = NULL_TOKENS
    types: Literal["auto", "text"] = "auto"
    encoding: Encoding | None = None
    decimal: Literal[".", ","] | None = None
    date_order: Literal["day-first", "month-first"] | None = None
    date_formats: tuple[str, ...] = ()
    true_values: tuple[str, ...] = TRUE_VALUES
    false_values: tuple[str, ...] = FALSE_VALUES

    def __post_init__(self) -> None:
        for name, sign in (("quote", self.quote), ("escape", self.escape), ("comment", self.comment)):
            if sign and (len(sign) > 1 or not _is_sign(sign)):
                raise ValueError(f"{name} must be one ASCII character, not a line end")
        delimiter = self.delimiter
        if delimiter is not None and not (0 < len(delimiter) <= MAX_DELIMITER and _is_sign(delimiter)):
            raise ValueError(f"delimiter must be one to {MAX_DELIMITER} ASCII characters, no line ends")
        if delimiter is not None and self.quote and self.quote in delimiter:
            raise ValueError("delimiter and quote must differ")
        if self.escape and self.escape in (self.quote, delimiter):
            raise ValueError("escape must differ from quote and delimiter")
        if self.skip_lines is not None and self.skip_lines < 0:
            raise ValueError("skip_lines must not be negative")
        if self.skip_footer is not None and not 0 <= self.skip_footer <= MAX_SKIP_FOOTER:
            raise ValueError(f"skip_footer must be from 0 to {MAX_SKIP_FOOTER}")
        if self.header_rows is not None and not (1 <= self.header_rows <= MAX_HEADER_ROWS and self.header is not False):
            raise ValueError(f"header_rows must be from 1 to {MAX_HEADER_ROWS}, of a file with a header")
        if len(self.date_formats) > MAX_DATE_FORMATS or not all(map(DATE_FORMAT.fullmatch, self.date_formats)):
            raise ValueError("date_formats must be a few formats of a whole date, such as %d.%m.%Y or %Y%m%d %H:%M")
        if {word.lower() for word in self.true_values} & {word.lower() for word in self.false_values}:
            raise ValueError("true_values and false_values must differ")
        rejected = self.max_rejected
        if rejected is not None and (rejected < 0 or (isinstance(rejected, float) and rejected > 1)):
            raise ValueError("max_rejected must be a count of rows (integer) or a share from 0.0 to 1.0")


def _is_sign(text: str) -> bool:
    return text.isascii() and not set(text) & set("\r\n\0")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one ingest. Sizes are bytes.

    `max_expansion_ratio` is expanded over compressed size, looked at once 64 MiB are expanded. `block_bytes` is how
    much text is parsed at a time, and with it most of the memory used. A row longer than `max_row_bytes` is rejected.
    `memory` is what this process may take. Of a wide table a part has fewer rows than `part_rows`:
    `part_cells` at most, in `part_chunks` column chunks (a column's values in one row group).
    """

    part_rows: int = 1_000_000
    part_bytes: int = 1024 * MIB
    part_cells: int = 32 * 1024 * 1024
    part_chunks: int = 8192
    memory: int = 512 * MIB
    max_columns: int = 10_000
    max_cell_bytes: int = MIB
    max_row_bytes: int = 16 * MIB
    max_expanded_bytes: int = 500 * 1024 * MIB
    max_expansion_ratio: int = 250
    max_footer_bytes: int = 64 * MIB
    max_batch_bytes: int = 256 * MIB
    block_bytes: int = 8 * MIB

    def rows_of_part(self, columns: int) -> int:
        """Rows of a part, at most. What tells where its columns are (its footer) grows with the square of the columns,
        and is read for each page and by each look at a few columns: with 2,000 columns, 0.8 MiB for 4,192 rows.
        Whoever writes a file holds 5 kB for each of its chunks, beside what is in them.
        """
        columns = max(1, columns)
        groups = max(1, self.part_chunks // columns)
        return max(1, min(self.part_rows, self.part_cells // columns, groups * row_group_rows(columns)))
