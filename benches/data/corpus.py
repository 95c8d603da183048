"""Labelled files to detect: what a person looking at each would say of it. The same files every time.

A class is a kind of awkwardness; each has some files that differ in delimiter, columns, rows and header. Of files
without a quoted cell the quote is not asked for.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

SEED, FILES = 20261124, 10
DELIMITERS = (",", ";", "\t", "|")
WORDS = ("north", "south", "east", "west", "ridge", "valley", "river", "stone", "copper", "amber", "maple", "meadow")
Row = list[str]
Rng = random.Random


@dataclass(frozen=True)
class Table:
    """A table and how it is written. `before` are lines above it, `after` below it."""

    header: Row | None
    rows: list[Row]
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    quote_all: bool = False
    newline: str = "\n"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def written(self) -> tuple[str, bool]:
        """The text, and whether any cell is quoted."""
        quoted = False

        def cell(value: str) -> str:
            nonlocal quoted
            if not (self.quote_all or any(sign in value for sign in (self.delimiter, self.quote, "\n"))):
                return value
            quoted = True
            inner = value.replace(self.quote, (self.escape or self.quote) + self.quote)
            return f"{self.quote}{inner}{self.quote}"

        table = [self.header, *self.rows] if self.header else self.rows
        lines = [*self.before, *(self.delimiter.join(map(cell, row)) for row in table), *self.after]
        return self.newline.join(lines) + self.newline, quoted


@dataclass(frozen=True)
class Case:
    """One file. `quote` None: not asked for. `start`: lines above the header, or above the first row without one."""

    kind: str
    name: str
    text: str
    delimiter: str | None
    quote: str | None
    header: bool
    start: int


def number(rng: Rng) -> str:
    return str(rng.randrange(100_000))


def amount(rng: Rng) -> str:
    return f"{rng.lognormvariate(4, 1):.2f}"


def day(rng: Rng) -> str:
    return f"2024-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"


def words(rng: Rng, most: int = 2) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, most + 1)))


MAKERS: dict[str, Callable[[Rng], str]] = {
    "id": number,
    "amount": amount,
    "ordered on": day,
    "city": words,
    "code": lambda rng: f"{rng.choice('ABCDEF')}-{rng.randrange(1000):03d}",
    "note": lambda rng: words(rng, 6),
    "share": lambda rng: f"{rng.random():.4f}",
}


def filled(rng: Rng, makers: dict[str, Callable[[Rng], str]], rows: int) -> list[Row]:
    return [[make(rng) for make in makers.values()] for _ in range(rows)]


def plain(rng: Rng, **also: Callable[[Rng], str]) -> Table:
    """A number first, then some columns; mostly with a header."""
    chosen = {"id": number, **also}
    chosen |= {name: MAKERS[name] for name in rng.sample(sorted(MAKERS), rng.randrange(2, 6))}
    header = list(chosen) if rng.random() < 0.75 else None
    return Table(header, filled(rng, chosen, rng.randrange(6, 60)), rng.choice(DELIMITERS))


def with_cells(make: Callable[[Rng, str], str]) -> Callable[[Rng], Table]:
    """A plain table with a column whose cells are made by the delimiter."""

    def shaped(rng: Rng) -> Table:
        table = plain(rng)
        header = [*table.header, "remark"] if table.header else None
        return replace(table, header=header, rows=[[*row, make(rng, table.delimiter)] for row in table.rows])

    return shaped


def changed(change: Callable[[Rng, Table], Table]) -> Callable[[Rng], Table]:
    return lambda rng: change(rng, plain(rng))


def raw(rng: Rng, table: Table, edit: Callable[[Rng, int, str], str]) -> Table:
    """The rows as lines that are edited: they go below a table of no rows, as text that nothing quotes."""
    lines = [edit(rng, place, table.delimiter.join(row)) for place, row in enumerate(table.rows)]
    return replace(table, rows=[], after=tuple(lines))


def ragged(rng: Rng, place: int, line: str) -> str:
    delimiter = next(sign for sign in DELIMITERS if sign in line)
    if place % 5 == 3:
        return line.rpartition(delimiter)[0]
    return line + delimiter + "more" if place % 7 == 5 else line


def years(rng: Rng) -> Table:
    names = ["region", *(str(year) for year in range(2018, 2018 + rng.randrange(2, 6)))]
    rows = [[words(rng), *(number(rng) for _ in names[1:])] for _ in range(rng.randrange(5, 30))]
    return Table(names, rows, rng.choice(DELIMITERS))


def texts(rng: Rng) -> Table:
    names = ["name", "city", "country", "colour"]
    rows = [[words(rng).title() for _ in names] for _ in range(rng.randrange(5, 30))]
    return Table(names, rows, rng.choice(DELIMITERS))


def one_column(rng: Rng) -> Table:
    rows = [[f"{words(rng, 4)}, {words(rng, 3)}" if rng.random() < 0.4 else words(rng, 5)] for _ in range(30)]
    return Table(["comment"], rows, "\0", quote="\0")


def wide(rng: Rng) -> Table:
    makers = {f"v{place}": amount for place in range(300)}
    return Table(list(makers), filled(rng, makers, 12), rng.choice(DELIMITERS))


def european(rng: Rng) -> Table:
    makers = {
        "nr": number,
        "betrag": lambda rng: f"{rng.randrange(1, 900)}.{rng.randrange(1000):03d},{rng.randrange(100):02d}",
        "anteil": lambda rng: f"{rng.randrange(100)},{rng.randrange(10)}",
        "datum": lambda rng: f"{rng.randrange(1, 29):02d}.{rng.randrange(1, 13):02d}.2024",
    }
    return Table(list(makers) if rng.random() < 0.75 else None, filled(rng, makers, 25), rng.choice((";", "\t", "|")))


def two_headers(rng: Rng, table: Table) -> Table:
    names = table.header or [f"name {chr(97 + place)}" for place in range(len(table.rows[0]))]
    units = [rng.choice(("kg", "m", "EUR", "text")) for _ in names]
    return replace(table, header=names, rows=[units, *table.rows])


def doubled_delimiter(rng: Rng, table: Table) -> Table:
    return replace(table, delimiter=rng.choice(("||", "::", "~~")))


def mixed_ends(rng: Rng, place: int, line: str) -> str:
    return line + "\r" if place % 3 else line


KINDS: dict[str, Callable[[Rng], Table]] = {
    "plain": plain,
    "quoted where needed": with_cells(
        lambda rng, sign: f"{words(rng)}{sign} {words(rng)}" if rng.random() < 0.3 else words(rng)
    ),
    "all quoted": changed(lambda _, table: replace(table, quote_all=True)),
    "doubled quotes": with_cells(
        lambda rng, sign: f'{words(rng)} "{words(rng)}"{sign}' if rng.random() < 0.3 else words(rng)
    ),
    "escaped quotes": lambda rng: replace(
        with_cells(lambda rng, sign: f'{words(rng)} "{words(rng)}"{sign}' if rng.random() < 0.3 else words(rng))(rng),
        escape="\\",
    ),
    "apostrophes as quotes": changed(lambda _, table: replace(table, quote="'", quote_all=True)),
    "inches in cells": changed(
        lambda rng, table: raw(rng, table, lambda rng, _, line: f'{line}{table.delimiter}{rng.randrange(1, 99)}" pipe')
    ),
    "line ends in cells": with_cells(
        lambda rng, _: f"{words(rng)}\n{words(rng)}" if rng.random() < 0.3 else words(rng)
    ),
    "title above": changed(lambda rng, table: replace(table, before=(f"Report {words(rng)}", ""))),
    "notes above": changed(
        lambda rng, table: replace(table, before=("Source: the office", f"Made on {day(rng)}", "All rights kept", ""))
    ),
    "comments above": changed(lambda rng, table: replace(table, before=(f"# {words(rng, 5)}", "# version 2"))),
    "sep= above": changed(lambda _, table: replace(table, before=(f"sep={table.delimiter}",))),
    "total below": changed(lambda rng, table: replace(table, after=("", f"Total{table.delimiter}{amount(rng)}"))),
    "two header rows": changed(two_headers),
    "mixed line ends": changed(lambda rng, table: raw(rng, table, mixed_ends)),
    "CRLF": changed(lambda _, table: replace(table, newline="\r\n")),
    "delimiter of two": changed(doubled_delimiter),
    "rare delimiter": changed(lambda rng, table: replace(table, delimiter=rng.choice("^~"))),
    "ragged rows": changed(lambda rng, table: raw(rng, table, ragged)),
    "blank rows": changed(lambda rng, table: raw(rng, table, lambda _, place, line: line + "\n" * (place % 4 == 1))),
    "blank columns": changed(
        lambda _, table: replace(
            table, header=[*table.header, "", ""] if table.header else None, rows=[[*row, "", ""] for row in table.rows]
        )
    ),
    "European numbers": european,
    "thousands, quoted": with_cells(
        lambda rng, _: f"{rng.randrange(1, 9)},{rng.randrange(1000):03d},{rng.randrange(1000):03d}"
    ),
    "currency and percent": with_cells(lambda rng, _: rng.choice((f"€ {amount(rng)}", f"{rng.randrange(100)} %"))),
    "booleans in words": lambda rng: plain(rng, paid=lambda rng: rng.choice(("yes", "no"))),
    "day-first dates": lambda rng: plain(
        rng, due=lambda rng: f"{rng.randrange(1, 29):02d}/{rng.randrange(1, 13):02d}/2024"
    ),
    "times with zones": lambda rng: plain(
        rng, at=lambda rng: f"{day(rng)}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:00+02:00"
    ),
    "very wide": wide,
    "very long cells": with_cells(lambda rng, _: words(rng, 2000)),
    "commas in texts": lambda rng: replace(
        with_cells(lambda rng, _: ", ".join(words(rng) for _ in range(rng.randrange(1, 6))))(rng),
        delimiter=rng.choice((";", "\t", "|")),
    ),
    "invisible characters": with_cells(lambda rng, _: f"\u00a0{words(rng)}\u200b {words(rng)}\u00a0"),
    "years as names": years,
    "texts alone": texts,
    "one column": one_column,
}


def cases() -> Iterator[Case]:
    for kind, make in KINDS.items():
        for place in range(FILES):
            yield labelled(kind, place, make(random.Random(f"{SEED} {kind} {place}")))


def labelled(kind: str, place: int, table: Table) -> Case:
    text, quoted = table.written()
    single = table.delimiter == "\0"
    return Case(
        kind=kind,
        name=f"{kind} {place}".replace(" ", "-").replace("=", ""),
        text=text,
        delimiter=None if single else table.delimiter,
        quote=table.quote if quoted and not single else None,
        header=table.header is not None,
        start=len(table.before),
    )


@dataclass(frozen=True)
class Encoded:
    """A text and its bytes. Right is what gives the text back, whatever it calls itself."""

    kind: str
    text: str
    data: bytes


LANGUAGES = {
    "German": "Größe Straße Köln müde Äpfel Öl übrig weiß Grüße",
    "French": "été garçon où élève forêt noël château façade",
    "Spanish": "año niño mañana corazón señor teléfono pingüino",
    "Polish": "żółw łódź świat źródło część ręka dziękuję król",
    "Russian": "город река камень серебро север долина берег золото",
    "Greek": "πόλη ποτάμι πέτρα βορράς κοιλάδα χρυσός άνεμος",
    "Japanese": "東京 大阪 かわ やま みどり カナダ 北海道 商品",
    "Chinese": "北京 上海 河流 山谷 商品 价格 数量 客户",
    "Korean": "서울 부산 강물 산길 상품 가격 수량 고객",
}
LEGACY = {
    "Western (Windows-1252)": [("German", "cp1252"), ("French", "cp1252"), ("Spanish", "cp1252")],
    "Central European": [("Polish", "cp1250"), ("Polish", "iso8859-2")],
    "Cyrillic, Greek": [("Russian", "cp1251"), ("Russian", "koi8-r"), ("Greek", "cp1253")],
    "East Asian": [("Japanese", "shift-jis"), ("Japanese", "euc-jp"), ("Chinese", "gb18030"), ("Korean", "euc-kr")],
}


def encoded() -> Iterator[Encoded]:
    every = list(LANGUAGES)
    yield from _of("UTF-8", [(name, "utf-8") for name in every])
    yield from _of("UTF-8 with BOM", [(name, "utf-8-sig") for name in every])
    yield from _of("UTF-16 with BOM", [(name, "utf-16") for name in every])
    yield from _of("UTF-16, no BOM", [(name, wide) for name in every for wide in ("utf-16-le", "utf-16-be")])
    for kind, pairs in LEGACY.items():
        yield from _of(kind, pairs)
    yield from _of("one Western letter", [("German", "cp1252"), ("French", "cp1252")], share=0.0)
    yield from _of("one UTF-8 letter", [("German", "utf-8"), ("French", "utf-8")], share=0.0)


def _of(kind: str, pairs: Sequence[tuple[str, str]], share: float = 0.5) -> Iterator[Encoded]:
    for language, encoding in pairs:
        for place in range(5):
            rng = random.Random(f"{SEED} {kind} {language} {encoding} {place}")
            own = LANGUAGES[language].split()
            rows = [
                [number(rng), amount(rng), rng.choice(own) if rng.random() < share else words(rng), day(rng)]
                for _ in range(60)
            ]
            rows[rng.randrange(60)][2] = own[0]
            text = "\n".join(["id,amount,name,day", *(",".join(row) for row in rows)]) + "\n"
            yield Encoded(kind, text, text.encode(encoding))
