"""`keys`: made, listed, rotated and revoked in the database itself."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill.cli.output import Json, write_json
from gristmill.cli.server import DATA_FOLDER, DataFolder, owning, with_settings
from gristmill.domain.key import MAX_NAME, KeyUse, Scope, last_admin, make_key

if TYPE_CHECKING:
    from gristmill.settings import Settings

WARNING = "it expires within two weeks or has expired: gristmill keys create --owner NAME --scope admin"


def create(
    owner: Annotated[str, typer.Option(help="Whose datasets and jobs the key reaches.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="May be given twice; default: read and write.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
    name: Annotated[str, typer.Option(help="What it is for, for people to read.")] = "",
    data: DataFolder = DATA_FOLDER,
    *,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, once: only its digest is kept."""
    from gristmill.db.keys import add_key

    if len(name) > MAX_NAME:
        raise typer.BadParameter(f"{MAX_NAME} characters at most", param_hint="--name")
    scopes = scope or [Scope.READ, Scope.WRITE]
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    token, key = make_key(owner, scopes, expires_at=expires_at, name=name)

    async def work(settings: "Settings") -> None:
        async with owning(settings) as database:
            await add_key(database, key)
        told = {"id": key.id, "owner": owner, "name": name, "scopes": scopes, "expires_at": expires_at, "key": token}
        write_json(told) if as_json else typer.echo(token)

    with_settings(data, work)


def list_all(data: DataFolder = DATA_FOLDER, *, as_json: Json = False) -> None:
    """List the keys that are not revoked."""
    from gristmill.db.keys import list_keys

    async def work(settings: "Settings") -> None:
        async with owning(settings) as database:
            known = await list_keys(database)
        if as_json:
            write_json([_document(use) for use in known])
            return
        for use in known:
            typer.echo(_told(use))
        last = last_admin(use.key for use in known)
        if last is not None and last.ends_soon:
            typer.echo(f"{last.key_id} is the last key with the scope admin, and {WARNING}", err=True)

    with_settings(data, work)


def _document(use: KeyUse) -> dict[str, Any]:
    key = use.key
    return {
        "id": key.id,
        "owner": key.owner,
        "name": key.name,
        "scopes": key.scopes,
        "expires_at": key.expires_at,
        "last_used_at": use.last_used_at,
        "replaced_by": use.replaced_by,
    }


def _told(use: KeyUse) -> str:
    key = use.key
    expiry = f"expires {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never expires"
    last = f"used {use.last_used_at:%Y-%m-%d %H}h" if use.last_used_at else "never used"
    replaced = f"  replaced by {use.replaced_by}" if use.replaced_by else ""
    named = f"  ({key.name})" if key.name else ""
    return f"{key.id}  {key.owner}  {','.join(key.scopes)}  {expiry}  {last}{replaced}{named}"


def rotate(
    key_id: str,
    overlap_h: Annotated[float, typer.Option(min=0, max=24 * 90, help="Hours that the old key stays valid.")] = 24.0,
    data: DataFolder = DATA_FOLDER,
    *,
    as_json: Json = False,
) -> None:
    """Make a key that takes over from another, and print it, once; the old one expires after the overlap."""
    from gristmill.db.keys import rotate_key

    async def work(settings: "Settings") -> int:
        async with owning(settings) as database:
            token = await rotate_key(database, key_id, overlap_s=overlap_h * 3600)
        if token and as_json:
            write_json({"replaces": key_id, "key": token})
        else:
            typer.echo(token or "no such key, or it was rotated already", err=token is None)
        return 0 if token else 1

    with_settings(data, work)


def revoke(key_id: str, data: DataFolder = DATA_FOLDER, *, as_json: Json = False) -> None:
    """Revoke a key, at once."""
    from gristmill.db.keys import revoke_key

    async def work(settings: "Settings") -> int:
        async with owning(settings) as database:
            known = await revoke_key(database, key_id)
        if known and as_json:
            write_json({"id": key_id, "revoked": True})
        else:
            typer.echo("revoked" if known else "no such key", err=not known)
        return 0 if known else 1

    with_settings(data, work)
