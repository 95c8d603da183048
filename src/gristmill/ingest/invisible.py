"""Characters that nobody sees in a text: counted while it passes, reported, and not let into columns' names."""

from collections.abc import Iterator

# What a reader would not know to be there; joiners that scripts and emoji need (U+200C, U+200D) are not among them.
SIGNS = {
    "\0": "NUL characters",
    "\u00a0": "non-breaking spaces",
    "\u200b": "zero-width spaces",
    "\u2060": "word joiners",
    "\ufeff": "byte order marks within the text",
}
_NO_WIDTH = ("\u200b", "\u2060", "\ufeff")
_NAMES = dict.fromkeys([*range(32), 127, *map(ord, _NO_WIDTH)]) | dict.fromkeys((9, 10, 13, 0xA0, 0x202F), " ")
# Around a number, a date or a truth value these are nothing: white space as Unicode has it, and what has no width.
AROUND = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    [*map(chr, range(0x2000, 0x200B)), *_NO_WIDTH]
)


class Invisible:
    """Counts such characters in UTF-8 text that passes in pieces."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(SIGNS, 0)

    def watch(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces. A character cut in two by their edges is counted too."""
        tail = b""
        for piece in pieces:
            head = piece[:2]
            edge = tail + head
            for sign in ("\0",) if piece.isascii() and edge.isascii() else SIGNS:
                code = sign.encode()
                # Across the edge is what is whole on neither side of it; pieces are not copied to look there.
                self._counts[sign] += piece.count(code) + edge.count(code) - tail.count(code) - head.count(code)
            tail = (tail + piece[-2:])[-2:]
            yield piece

    def warnings(self) -> list[str]:
        """One line for each kind that was met."""
        return [f"The text has {count} {SIGNS[sign]}" for sign, count in self._counts.items() if count]


def visible_name(name: str) -> str:
    """A column's name without what can't be seen in it; line ends, tabs and non-breaking spaces become spaces."""
    return name.translate(_NAMES)
