"""Text in any encoding becomes the same table: found out, or as declared, whatever the pieces it comes in."""

import codecs
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.ingest.encoding import find_encoding, guess_wide, to_utf8
from gristmill.ingest.invisible import SIGNS, Invisible
from gristmill.ingest.options import CODECS, Encoding
from tests.ingest.folder import Load

LATIN = "id,näme\n1,Zoë\n2,Ann\n"
LATIN_TABLE: dict[str, list[Any]] = {"id": [1, 2], "näme": ["Zoë", "Ann"]}
CYRILLIC = "номер,имя\n1,Анна\n2,Борис\n"
CYRILLIC_TABLE: dict[str, list[Any]] = {"номер": [1, 2], "имя": ["Анна", "Борис"]}
CHINESE = "编号,城市\n1,北京\n2,上海\n"
CHINESE_TABLE: dict[str, list[Any]] = {"编号": [1, 2], "城市": ["北京", "上海"]}
FOUND: dict[str, tuple[bytes, dict[str, list[Any]], str, bool]] = {
    "UTF-8": (LATIN.encode(), LATIN_TABLE, "utf-8", False),
    "UTF-8 with mark": (codecs.BOM_UTF8 + LATIN.encode(), LATIN_TABLE, "utf-8", True),
    "UTF-16 LE with mark": (codecs.BOM_UTF16_LE + LATIN.encode("utf-16-le"), LATIN_TABLE, "utf-16-le", True),
    "UTF-16 BE with mark": (codecs.BOM_UTF16_BE + LATIN.encode("utf-16-be"), LATIN_TABLE, "utf-16-be", True),
    "UTF-32 LE with mark": (codecs.BOM_UTF32_LE + LATIN.encode("utf-32-le"), LATIN_TABLE, "utf-32-le", True),
    "UTF-32 BE with mark": (codecs.BOM_UTF32_BE + LATIN.encode("utf-32-be"), LATIN_TABLE, "utf-32-be", True),
    "UTF-32 LE": (CHINESE.encode("utf-32-le"), CHINESE_TABLE, "utf-32-le", False),
    "UTF-32 BE": (LATIN.encode("utf-32-be"), LATIN_TABLE, "utf-32-be", False),
    "UTF-16 LE": (LATIN.encode("utf-16-le"), LATIN_TABLE, "utf-16-le", False),
    "UTF-16 BE": (LATIN.encode("utf-16-be"), LATIN_TABLE, "utf-16-be", False),
    "UTF-16 LE, Cyrillic": (CYRILLIC.encode("utf-16-le"), CYRILLIC_TABLE, "utf-16-le", False),
    "UTF-16 BE, Cyrillic": (CYRILLIC.encode("utf-16-be"), CYRILLIC_TABLE, "utf-16-be", False),
    "UTF-16 LE, Chinese": (CHINESE.encode("utf-16-le"), CHINESE_TABLE, "utf-16-le", False),
    "Windows-1252": (LATIN.encode("cp1252"), LATIN_TABLE, "windows-1252", False),
}
DECLARED: dict[str, tuple[bytes, dict[str, list[Any]]]] = {
    "latin-1": (LATIN.encode("latin-1"), LATIN_TABLE),
    "windows-1252": (LATIN.encode("cp1252"), LATIN_TABLE),
    "windows-1251": (CYRILLIC.encode("cp1251"), CYRILLIC_TABLE),
    "koi8-r": (CYRILLIC.encode("koi8-r"), CYRILLIC_TABLE),
    "iso-8859-15": ("a\nin €\n".encode("iso-8859-15"), {"a": ["in €"]}),
    "windows-1250": ("miasto\nŁódź\n".encode("cp1250"), {"miasto": ["Łódź"]}),
    "gb18030": (CHINESE.encode("gb18030"), CHINESE_TABLE),
    "shift-jis": ("都市\n東京\n".encode("shift-jis"), {"都市": ["東京"]}),
    "utf-16-le": (LATIN.encode("utf-16-le"), LATIN_TABLE),
    "utf-32-le": (LATIN.encode("utf-32-le"), LATIN_TABLE),
    "windows-1253": ("πόλη\nΑθήνα\n".encode("cp1253"), {"πόλη": ["Αθήνα"]}),
    "cp866": (CYRILLIC.encode("cp866"), CYRILLIC_TABLE),
    "euc-kr": ("도시\n서울\n똠방\n".encode("cp949"), {"도시": ["서울", "똠방"]}),
    "big5": ("城市\n臺北\n".encode("big5"), {"城市": ["臺北"]}),
}
LANGUAGES = tomllib.loads((Path(__file__).parent / "cases" / "languages.toml").read_text())["table"]
TABLES = [(table, encoding) for table in LANGUAGES for encoding in table["encodings"]]


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND.keys())
def test_an_encoding_is_found_and_reported(load: Load, case: tuple[bytes, dict[str, list[Any]], str, bool]) -> None:
    data, columns, encoding, mark = case
    loaded = load(data)
    assert loaded.frame.to_dict(as_series=False) == columns
    assert (loaded.dialect["encoding"], loaded.dialect["bom"]) == (encoding, mark)


@pytest.mark.parametrize("encoding", DECLARED)
def test_a_declared_encoding_is_taken(load: Load, encoding: str) -> None:
    data, columns = DECLARED[encoding]
    loaded = load(data, encoding=encoding)
    assert loaded.frame.to_dict(as_series=False) == columns
    assert loaded.dialect["encoding"] == encoding
    assert loaded.ingested.warnings == ()


@pytest.mark.parametrize(("table", "encoding"), TABLES, ids=[f"{table['language']}, {name}" for table, name in TABLES])
def test_a_text_of_any_language_comes_back_and_says_that_it_was_guessed(
    load: Load, table: dict[str, Any], encoding: str
) -> None:
    text = table["text"].removeprefix("\n")
    loaded = load(text.encode(CODECS.get(encoding, encoding)))  # type: ignore[call-overload]  # by any name
    plain = load(text.encode())
    assert loaded.frame.equals(plain.frame)
    assert loaded.frame.row(0)[1] == table["first"]
    found = loaded.dialect["encoding"]
    assert (found == "windows-1252") == (encoding == "windows-1252")
    warning = loaded.ingested.warnings[0]
    assert warning.startswith(f"The text is not UTF-8: it was read as {found}")
    assert loaded.dialect["encoding_confidence"] in ("likely", "unsure")
    assert ("unsure" in warning) == (loaded.dialect["encoding_confidence"] == "unsure")
    assert all(other in warning for other in loaded.dialect["encoding_alternatives"])
    assert not any(warning.startswith("The text is not UTF-8") for warning in plain.ingested.warnings)


def test_letters_that_make_no_words_are_read_as_something_that_is_unsure(load: Load) -> None:
    rows = (b"%d,%c%c\x81x%c\n" % (row, 0x80 + row, 0xFE - row, 0xA1 + row) for row in range(40))
    data = b"id,name\n0,Ann\n" + b"".join(rows)
    loaded = load(data)
    assert loaded.dialect["encoding_confidence"] == "unsure"
    assert "unsure: look at the words" in loaded.ingested.warnings[0]


def test_every_encoding_that_can_be_told_is_known_to_the_decoder() -> None:
    for name in get_args(Encoding):
        assert b"".join(to_utf8(iter(["a;1\n".encode(CODECS.get(name, name))]), name, b"")) == b"a;1\n"


def test_ndjson_in_utf16(load: Load) -> None:
    text = '{"a": 1, "b": "ä"}\n{"a": 2, "b": "ö"}\n'
    for data in (text.encode("utf-16-le"), codecs.BOM_UTF16_BE + text.encode("utf-16-be")):
        assert load(data, "ndjson").frame.to_dict(as_series=False) == {"a": [1, 2], "b": ["ä", "ö"]}


def test_what_does_not_decode_costs_its_line(load: Load) -> None:
    loaded = load(b"a,b\n1,x\n2,\x81\n3,\xe9\n", encoding="windows-1252")  # 0x81 is no character there
    assert loaded.frame.to_dict(as_series=False) == {"a": [1, 3], "b": ["x", "é"]}
    assert loaded.rejected.select("line", "column", "reason").rows() == [(3, 2, "bad encoding")]
    cut = load("a,b\n1,x\n2,y".encode("utf-16-le") + b"\x41")
    assert cut.frame.to_dict(as_series=False) == {"a": [1], "b": ["x"]}
    assert cut.rejected.select("line", "column", "reason").rows() == [(3, 2, "bad encoding")]


def test_invisible_characters_are_reported_and_do_no_harm(load: Load) -> None:
    loaded = load("\u200bid,na\u00a0me,\ufeffz\n1\u00a0,a\u00a0b,\u200b7\n 2,x,8\u2060\n".encode())
    assert loaded.frame.to_dict(as_series=False) == {"id": [1, 2], "na me": ["a\u00a0b", "x"], "z": [7, 8]}
    assert loaded.ingested.warnings == (
        "column 1: its name had characters that can't be seen; they are removed",
        "column 2: its name had characters that can't be seen; they are removed",
        "column 3: its name had characters that can't be seen; they are removed",
        "The text has 3 non-breaking spaces",
        "The text has 2 zero-width spaces",
        "The text has 1 word joiners",
        "The text has 1 byte order marks within the text",
    )


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=[*SIGNS, "a", "é", "\u200a", "\u00c2", "😀"], max_size=40), size=st.integers(1, 7))
def test_invisible_characters_are_counted_across_pieces(text: str, size: int) -> None:
    seen = Invisible()
    assert b"".join(seen.watch(iter(_pieces(text.encode(), size)))) == text.encode()
    expected = [f"The text has {text.count(sign)} {name}" for sign, name in SIGNS.items() if sign in text]
    assert seen.warnings() == expected


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet=st.characters(codec="cp1252"), max_size=60),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "windows-1252"]),
    size=st.integers(1, 9),
)
def test_pieces_do_not_matter_to_transcoding(text: str, encoding: Any, size: int) -> None:
    data = text.encode(encoding)
    assert b"".join(to_utf8(iter(_pieces(data, size)), encoding, b"")) == text.encode()


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\0")
@example(b"\xff\xfe")
@example(b"\0\xd8\0\xd8\0\xd8")
@example(bytes(range(256)))
def test_any_bytes_have_an_encoding(data: bytes) -> None:
    found = find_encoding(data, None, unicode_only=False)
    assert data.startswith(found.mark)
    b"".join(to_utf8(iter([data]), found.encoding, found.mark))
    assert guess_wide(data) in {None, "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"}
