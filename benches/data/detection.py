"""What is found out about a file before it is read: ours beside CleverCSV, DuckDB and charset-normalizer.

Dialects are asked of UTF-8 files, as DuckDB takes no others; encodings of files of their own.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import corpus
from corpus import Case, Encoded
from harness import SNIFFERS, Script

from benches.measuring import Found
from gristmill.errors import GristmillError
from gristmill.ingest.csv_dialect import find_shape
from gristmill.ingest.encoding import find_encoding
from gristmill.ingest.options import IngestOptions, Limits

OURS = "gristmill"
ASPECTS = ("delimiter", "quote", "header", "start")
Answer = dict[str, Any]
Right = dict[tuple[str, str, str], list[bool]]


def measure(folder: Path, options: argparse.Namespace) -> Found:
    dialects, slow = _dialects(folder / "dialects")
    encodings, slower = _encodings(folder / "encodings")
    figures = [
        {"part": "detection", "who": who, "kind": kind, "asked": asked, "right": sum(found), "of": len(found)}
        for (who, kind, asked), found in {**dialects, **encodings}.items()
    ]
    for line in figures:
        options.keep(line)
    table = "\n\n".join(
        [
            _overall(dialects, slow, ASPECTS),
            _by_kind(dialects, "delimiter, quote, header and start all right, where told"),
            _overall(encodings, slower, ("encoding",)),
            _by_kind(encodings, "the text given back"),
        ]
    )
    return Found(table, [], figures)


def _dialects(folder: Path) -> tuple[Right, dict[str, float]]:
    cases = list(corpus.cases())
    _put(folder, {case.name: case.text.encode() for case in cases})
    answers = {OURS: _ours(folder, _shape)}
    answers |= {name: Script(SNIFFERS / f"{name}_.py")(str(folder)) for name in ("clevercsv", "duckdb")}
    right: Right = defaultdict(list)
    for who, found in answers.items():
        for case in cases:
            judged = _judge(case, found[case.name])
            for asked, good in judged.items():
                right[who, case.kind, asked].append(good)
            right[who, case.kind, "all"].append(all(judged.values()))
    return right, _seconds(answers)


def _judge(case: Case, answer: Answer) -> dict[str, bool]:
    """By aspect, whether the answer is right. CleverCSV tells no start: it is not asked."""
    if "failed" in answer:
        return dict.fromkeys(("delimiter", "header"), False)
    judged = {"delimiter": case.delimiter is None or answer["delimiter"] == case.delimiter}
    if case.delimiter is None:  # any delimiter that is not in the text will do
        judged["delimiter"] = not answer["delimiter"] or answer["delimiter"] not in case.text
    if case.quote is not None:
        judged["quote"] = answer["quote"] == case.quote
    judged["header"] = answer.get("header") == case.header
    if "start" in answer:
        judged["start"] = answer["start"] == case.start
    return judged


def _shape(path: Path) -> Answer:
    text = path.read_bytes()
    shape = find_shape(text, IngestOptions(), Limits(), whole=True)
    rows_before = text[: shape.rows_start].count(b"\n") - (shape.header is not None) - len(shape.between)
    delimiter, quote = shape.dialect.delimiter, shape.dialect.quote
    return {
        "delimiter": delimiter and delimiter.decode(),
        "quote": quote and quote.decode(),
        "header": shape.header is not None,
        "start": rows_before,
    }


def _encodings(folder: Path) -> tuple[Right, dict[str, float]]:
    files = {f"{place:04d}": one for place, one in enumerate(corpus.encoded())}
    _put(folder, {name: one.data for name, one in files.items()})
    answers = {OURS: _ours(folder, _encoding)}
    answers["charset_normalizer"] = Script(SNIFFERS / "charset_normalizer_.py")(str(folder))
    right: Right = defaultdict(list)
    for who, found in answers.items():
        for name, one in files.items():
            good = _gives_back(one, found[name].get("encoding"))
            for asked in ("encoding", "all"):
                right[who, one.kind, asked].append(good)
    return right, _seconds(answers)


def _encoding(path: Path) -> Answer:
    return {"encoding": find_encoding(path.read_bytes(), None, unicode_only=False).encoding}


def _gives_back(one: Encoded, encoding: str | None) -> bool:
    if encoding is None:
        return False
    return one.data.decode(encoding, "replace").removeprefix("\ufeff") == one.text


def _ours(folder: Path, look: Callable[[Path], Answer]) -> dict[str, Answer]:
    answers = {}
    for path in sorted(folder.iterdir()):
        begun = time.perf_counter()
        try:
            found = look(path)
        except GristmillError as error:
            found = {"failed": type(error).__name__}
        answers[path.name] = {**found, "seconds": time.perf_counter() - begun}
    return answers


def _put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _seconds(answers: dict[str, dict[str, Answer]]) -> dict[str, float]:
    """Milliseconds a file."""
    return {who: 1000 * sum(one["seconds"] for one in found.values()) / len(found) for who, found in answers.items()}


def _overall(right: Right, each_ms: dict[str, float], aspects: Iterable[str]) -> str:
    aspects = [*aspects]
    lines = [f"| who | {' | '.join(aspects)} | ms a file |", "|---|" + "---:|" * (len(aspects) + 1)]
    for who, took in each_ms.items():
        shares = [
            _share(found for (own, _, asked), found in right.items() if (own, asked) == (who, aspect))
            for aspect in aspects
        ]
        lines.append(f"| {who.replace('_', '-')} | {' | '.join(shares)} | {took:.1f} |")
    return "\n".join(lines)


def _by_kind(right: Right, words: str) -> str:
    names = list(dict.fromkeys(who for who, _, _ in right))
    kinds = list(dict.fromkeys(kind for _, kind, _ in right))
    lines = [f"| {words} | {' | '.join(name.replace('_', '-') for name in names)} |", "|---|" + "---:|" * len(names)]
    lines += [f"| {kind} | {' | '.join(_share([right[who, kind, 'all']]) for who in names)} |" for kind in kinds]
    return "\n".join(lines)


def _share(found: Iterable[list[bool]]) -> str:
    all_ = [good for one in found for good in one]
    return f"{sum(all_) / len(all_):.0%}" if all_ else "–"
