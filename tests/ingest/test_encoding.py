"""Text in any encoding becomes the same table: found out, or as declared, whatever the pieces it comes in."""

import codecs
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.ingest.encoding import find_encoding, guess_utf16, to_utf8
from gristmill.ingest.invisible import SIGNS, Invisible
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
}


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
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "windows-1252"]),
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
    encoding, mark = find_encoding(data, None, unicode_only=False)
    assert data.startswith(mark)
    b"".join(to_utf8(iter([data]), encoding, mark))
    assert guess_utf16(data) in {None, "utf-16-le", "utf-16-be"}
