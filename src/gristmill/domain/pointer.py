"""JSON Pointers (RFC 6901) to what does not fit."""

import re

from gristmill.errors import Fault

_MESSAGE = re.compile(r"^(?P<detail>.*?)(?: - at (?P<key>`key` in )?`(?P<path>\$[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def fault(message: str, pointer: str = "") -> Fault:
    """msgspec's message (``… - at `$.labels[0]` ``) as a pointer and a detail."""
    match = _MESSAGE.match(message)
    if match is None:
        return Fault(pointer, message)
    place = pointer + "".join("/" + escape(name or index) for name, index in _STEP.findall(match["path"] or "$"))
    unknown = _UNKNOWN.match(match["detail"])
    if unknown:
        return Fault(f"{place}/{escape(unknown['name'])}", "There is no such field.")
    return Fault(place, f"{'A key: ' if match['key'] else ''}{match['detail']}.")


def escape(name: str) -> str:
    """One step of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
