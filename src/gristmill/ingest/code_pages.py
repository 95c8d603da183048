"""Text that is not Unicode: the code page it is in, as far as its letters tell.

Latin letters are told by the alphabets of languages: a code page is right when the words make sense in one of them.
charset-normalizer knows the other scripts by their letters' frequencies, but takes Western texts for other ones, so it
is asked only where words make no sense in any Latin alphabet. What comes out is likely, not certain, and is told so.
"""

import codecs
import re
from typing import Final, NamedTuple

from charset_normalizer import from_bytes

from gristmill.ingest.options import CODECS, Encoding

WESTERN: Final[Encoding] = "windows-1252"
LOOK_BYTES: Final = 32 * 1024
"""Lines with other letters than ASCII that are looked at, each once."""
FITS: Final = 0.85
"""Share of words from which a text is taken for Western."""
ALL: Final = 0.97
MARGIN: Final = 0.2
LEAST_WORDS: Final = 5

_WESTERN_ALPHABETS: Final = {
    "German": "äöüßé",
    "French": "àâæçéèêëîïôœùûüÿ",
    "Spanish": "áéíñóúü",
    "Portuguese": "àáâãçéêíóôõúü",
    "Italian": "àèéìíîòóùú",
    "Nordic": "åäöæøéüšž",
    "Dutch": "áéëïóöüèê",
    "Icelandic": "áéíóúýþæöð",
    "Catalan": "àçèéíïòóúü",
    "Estonian": "äöõüšž",
}
_CENTRAL: Final = {
    "Polish": "ąćęłńóśźż",
    "Czech": "áčďéěíňóřšťúůýž",
    "Slovak": "áäčďéíĺľňóôŕšťúýž",
    "Hungarian": "áéíóöőúüű",
    "Croatian": "čćđšž",
    "Romanian": "ăâîşţ",
}
_ALPHABETS: Final[dict[Encoding, dict[str, str]]] = {
    WESTERN: _WESTERN_ALPHABETS,
    "windows-1250": _CENTRAL,
    "iso-8859-2": _CENTRAL,
    "windows-1254": {"Turkish": "çğıi\u0307öşüâî"},  # a small İ is an i with a dot
    "windows-1257": {"Lithuanian": "ąčęėįšųūž", "Latvian": "āčēģīķļņšūž", "Estonian": "äöõüšž"},
    "mac-roman": _WESTERN_ALPHABETS,
    "cp850": _WESTERN_ALPHABETS,
}
# What stands between words, and may stand beside them: everything else that is not ASCII is part of a word.
_BETWEEN: Final = "\u00a0’‘‚“”„–—…•·«»‹›€£¥§©®™°±ºª½¼¾²³µ×÷¿¡´†‡‰"
_WORD: Final = re.compile(rf"[^\W\d_]*(?:(?![{_BETWEEN}])[^\x00-\x7f])[^\s!-@\[-`{{-~{_BETWEEN}]*")
_BROKEN: Final = re.compile(rf"[^\W\d_][{_BETWEEN.translate(dict.fromkeys(map(ord, chr(0xA0) + '’‘´–—·')))}]+[^\W\d_]")

# Code pages of other scripts, and the letters that must come out.
_HAN: Final = r"\u4e00-\u9fff\u3000-\u303f\uff01-\uffee"
_KANA: Final = r"\u3040-\u30ff" + _HAN
_CYRILLIC: Final = r"\u0400-\u045f\u0490\u0491"
_SCRIPTS: Final[dict[Encoding, str]] = {
    "windows-1251": _CYRILLIC,
    "koi8-r": _CYRILLIC,
    "koi8-u": _CYRILLIC,
    "cp866": _CYRILLIC,
    "iso-8859-5": _CYRILLIC,
    "windows-1253": r"\u0370-\u03ff",
    "iso-8859-7": r"\u0370-\u03ff",
    "shift-jis": _KANA,
    "euc-jp": _KANA,
    "gb18030": _HAN,
    "big5": _HAN,
    "euc-kr": r"\uac00-\ud7a3" + _HAN,
    "windows-1255": r"\u05b0-\u05ea",
    "windows-1256": r"\u0621-\u065f\u0660-\u06d5",
}
_NAMES: Final = {codecs.lookup(CODECS.get(name, name)).name.replace("-", "_"): name for name in _SCRIPTS}
_FOREIGN: Final = re.compile(rf"(?![{_BETWEEN}№])[^\x00-\x7f]")
PURE: Final = 0.97
"""Share of the letters that are of the script."""
MESS: Final = 0.05
"""What charset-normalizer's measure of chaos has to differ by, where coherence tells nothing."""


class Guess(NamedTuple):
    """What a text is read as; `likely`, or only a try; and what else it may be, the best first."""

    encoding: Encoding
    likely: bool
    others: tuple[Encoding, ...] = ()


def guess(sample: bytes) -> Guess:
    """The code page of a text that is not UTF-8."""
    lines = _lines(sample)
    shares = {encoding: _fit(lines, encoding) for encoding in _ALPHABETS}
    western = shares[WESTERN]
    best = max(shares, key=lambda encoding: shares[encoding].one)
    if shares[best].one >= ALL and western.one < ALL - MARGIN and shares[best].words >= LEAST_WORDS:
        others = [encoding for encoding, share in shares.items() if share.one >= ALL and encoding != best]
        return Guess(best, likely=True, others=(*others, WESTERN))
    if western.some >= FITS:
        likely = western.one >= FITS or western.some >= ALL or western.words < LEAST_WORDS
        return Guess(WESTERN, likely=likely, others=_alike(shares))
    return _of_other_scripts(lines) or Guess(WESTERN, likely=False, others=_alike(shares))


def _of_other_scripts(lines: bytes) -> Guess | None:
    """By charset-normalizer, if what comes out is nearly all of the script. None: no code page gives that."""
    found = from_bytes(
        lines, steps=1, chunk_size=len(lines), cp_isolation=[*_NAMES], preemptive_behaviour=False, enable_fallback=False
    )
    pure = [one for one in found if _purity(lines, _NAMES[one.encoding]) >= PURE]
    if not pure:
        return None
    # The first is the best; of equally good ones, that with the most small letters: KOI8-R has them where Windows-1251
    # has the capitals.
    good = [one for one in pure if (one.coherence, one.chaos) == (pure[0].coherence, pure[0].chaos)]
    first = max(good, key=lambda one: sum(map(str.islower, str(one))))
    rest = [one for one in pure if one is not first]
    likely = all(
        one.coherence < first.coherence or one.chaos > first.chaos + MESS or str(one) == str(first) for one in rest
    )
    return Guess(_NAMES[first.encoding], likely=likely, others=tuple(_NAMES[one.encoding] for one in rest))


def _purity(lines: bytes, encoding: Encoding) -> float:
    letters = "".join(_FOREIGN.findall(lines.decode(CODECS.get(encoding, encoding), "replace")))
    return len(re.findall(f"[{_SCRIPTS[encoding]}]", letters)) / len(letters) if letters else 0.0


def _alike(shares: "dict[Encoding, _Fit]") -> tuple[Encoding, ...]:
    """What fits Latin alphabets about as well as Western."""
    fitting = [name for name, share in shares.items() if name != WESTERN and share.one >= shares[WESTERN].one > 0]
    return tuple(sorted(fitting, key=lambda name: -shares[name].one))


class _Fit(NamedTuple):
    """The share of words that fit some alphabet, the most that fit one, and how many words there are."""

    some: float
    one: float
    words: int


def _lines(sample: bytes) -> bytes:
    """Lines that are not ASCII, each once. No code page has a line end within a letter."""
    found: dict[bytes, None] = {}
    size = 0
    for line in sample.splitlines(keepends=True)[:-1] or [sample]:
        if size < LOOK_BYTES and not line.isascii() and line not in found:
            found[line] = None
            size += len(line)
    return b"".join(found)


def _fit(lines: bytes, encoding: Encoding) -> _Fit:
    text = lines.decode(CODECS.get(encoding, encoding), "replace")
    words = _WORD.findall(text)
    total = len(words) + len(_BROKEN.findall(text))
    if not total:
        return _Fit(1.0, 1.0, 0)
    # Other bytes than letters come out as letters too, but hardly as a word in one case, or with one capital.
    sane = [word for word in words if word.islower() or word.isupper() or word.istitle()]
    letters = [{sign for sign in word.lower() if not sign.isascii()} for word in sane]
    alphabets = [{*alphabet} for alphabet in _ALPHABETS[encoding].values()]
    fitting = [[word <= alphabet for word in letters] for alphabet in alphabets]
    some = sum(any(of_word) for of_word in zip(*fitting, strict=True))
    return _Fit(some / total, max(map(sum, fitting)) / total, total)
