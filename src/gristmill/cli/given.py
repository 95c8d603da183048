"""Params and options as they are given on a command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Param = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A param, again and again; VALUE is JSON, else a text."),
]
Params = Annotated[
    str | None, typer.Option("--params", metavar="JSON", help="All params as a JSON object, or @FILE with one.")
]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="How the data is to be read: delimiter=';' for one."),
]


def params_of(pairs: Sequence[str] | None, whole: str | None) -> dict[str, Any]:
    """The params; single ones go before the same in the object. Raises BadParameter."""
    return {**_object(whole), **pairs_of(pairs, "--param")}


def pairs_of(pairs: Sequence[str] | None, option: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise typer.BadParameter(f"{option} wants NAME=VALUE")
        found[name] = _value(value)
    return found


def labels_of(pairs: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise typer.BadParameter("--label wants NAME=VALUE")
        found[name] = value
    return found


def _value(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _object(text: str | None) -> dict[str, Any]:
    import msgspec

    if text is None:
        return {}
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        found: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
    except OSError as error:
        raise typer.BadParameter(f"--params: {error.strerror}: {text[1:]}") from None
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"--params: not a JSON object: {error}") from None
    return found
