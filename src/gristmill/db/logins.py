"""The roles as a migration needs them: that they are there, and who may log in as one.

Roles belong to the whole server, not to a database: what is there is taken as it is, and no downgrade drops one.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from gristmill.db.engine import Database, Driver
from gristmill.domain.role import Role
from gristmill.errors import ConfigurationError
from gristmill.settings import Settings

LACKING = """
SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
"""
MAY_MAKE = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
MAY_ALTER = """
SELECT rolsuper OR (rolcreaterole AND pg_has_role(current_user, $1, 'MEMBER WITH ADMIN OPTION'))
FROM pg_roles WHERE rolname = current_user
"""

ITERATIONS = 4096


async def check_roles(settings: Settings, roles: Sequence[str] = tuple(Role)) -> None:
    """Check that the roles are there, or that a migration may make them.

    Raises:
        ConfigurationError: neither; it says what to run.
        DatabaseUnavailable
    """
    async with Database.open(settings) as database, database.driver() as driver:
        lacking = [record["name"] for record in await driver.fetch(LACKING, list(roles))]
        if not lacking or await driver.fetchval(MAY_MAKE):
            return
        login = await driver.fetchval("SELECT quote_ident(current_user)")
    statements = [*(f"CREATE ROLE {name} NOLOGIN;" for name in lacking), f"GRANT {', '.join(roles)} TO {login};"]
    raise ConfigurationError(
        "PostgreSQL lacks roles, and the login that migrates may make none (docs/how-to/database-roles.md). As one "
        "that may:\n  " + "\n  ".join(statements)
    )


async def let_log_in(settings: Settings) -> None:
    """Let the roles log in whose passwords are given; of the others nothing changes.

    Raises:
        ConfigurationError: this login may not change them, or a password is not plain ASCII.
        DatabaseUnavailable
    """
    given = {Role.API: settings.postgres_api_password, Role.WORKER: settings.postgres_worker_password}
    passwords = {role: secret.get_secret_value() for role, secret in given.items() if secret is not None}
    async with Database.open(settings) as database, database.driver() as driver:
        for role, password in passwords.items():
            if password:
                await _let_log_in(driver, role, password)


async def _let_log_in(driver: Driver, role: Role, password: str) -> None:
    if not await driver.fetchval(MAY_ALTER, role):
        raise ConfigurationError(
            f"A password for {role} is given, and the login that migrates may set none (docs/how-to/database-roles.md)."
        )
    await driver.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{scram_verifier(password, os.urandom(16))}'")


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (SCRAM-SHA-256, RFC 5803), so that no password is in a statement.

    Raises ConfigurationError: other characters than printable ASCII, which would have to be normalized.
    """
    if not (password.isascii() and password.isprintable()):
        raise ConfigurationError("Passwords of roles must be of printable ASCII characters.")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(_keyed(salted, b"Client Key")).digest()
    told = [base64.b64encode(value).decode() for value in (salt, stored, _keyed(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${ITERATIONS}:{told[0]}${told[1]}:{told[2]}"


def _keyed(salted: bytes, name: bytes) -> bytes:
    return hmac.digest(salted, name, "sha256")
