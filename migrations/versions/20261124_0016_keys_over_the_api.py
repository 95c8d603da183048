"""Keys have names, an order, and functions by which an admin keeps them over the API.

Revision: 0016
After: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

API = "gristmill_api"

ADMIN = """EXISTS (
        SELECT FROM api_keys AS asking WHERE asking.id = asked_by AND asking.scopes @> '["admin"]'
            AND asking.revoked_at IS NULL AND (asking.expires_at IS NULL OR asking.expires_at > now())
    )"""
STATUS = """CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired' ELSE 'active' END"""
ROWS = """
RETURNS TABLE (number bigint, id text, owner text, name text, scopes jsonb, created_at timestamptz,
    expires_at timestamptz, last_used_at timestamptz, revoked_at timestamptz, replaced_by text, status text)
LANGUAGE sql"""

FUNCTIONS = {
    "gristmill_list_keys (asked_by text, of_id text, of_owner text, of_status text, below bigint, most int)": f"""
{ROWS} STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by, {STATUS}
    FROM api_keys
    WHERE {ADMIN}
        AND (of_id IS NULL OR id = of_id) AND (of_owner IS NULL OR owner = of_owner) AND number < below
        AND (of_status IS NULL OR of_status = {STATUS})
    ORDER BY number DESC LIMIT most;
END""",  # noqa: S608 (texts of ours)
    "gristmill_add_key (asked_by text, key_id text, key_owner text, key_name text, digest text, key_scopes jsonb,"
    " expiry timestamptz)": f"""
{ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH made AS (
        INSERT INTO api_keys (id, owner, name, secret_sha256, scopes, expires_at)
        SELECT key_id, key_owner, key_name, digest, key_scopes, expiry
        WHERE (asked_by IS NULL AND NOT EXISTS (SELECT FROM api_keys)) OR {ADMIN}
        ON CONFLICT (id) DO NOTHING
        RETURNING number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id) SELECT 'key.created', owner, id, asked_by FROM made
    )
    SELECT number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by, {STATUS}
    FROM made;
END""",  # noqa: S608 (texts of ours)
    "gristmill_revoke_key (asked_by text, key_id text)": f"""
{ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH locked AS MATERIALIZED (
        SELECT number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
        FROM api_keys WHERE id IN (asked_by, key_id) ORDER BY id FOR UPDATE
    ), asked AS (
        SELECT locked.id FROM locked WHERE id = key_id AND key_id <> asked_by AND EXISTS (
            SELECT FROM locked AS asking WHERE asking.id = asked_by AND asking.scopes @> '["admin"]'
                AND asking.revoked_at IS NULL AND (asking.expires_at IS NULL OR asking.expires_at > now())
        )
    ), ended AS (
        UPDATE api_keys SET revoked_at = coalesce(api_keys.revoked_at, now())
        FROM asked WHERE api_keys.id = asked.id
        RETURNING api_keys.number, api_keys.id, api_keys.owner, api_keys.name, api_keys.scopes, api_keys.created_at,
            api_keys.expires_at, api_keys.last_used_at, api_keys.revoked_at, api_keys.replaced_by
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id)
        SELECT 'key.revoked', locked.owner, locked.id, asked_by FROM locked JOIN asked ON asked.id = locked.id
        WHERE locked.revoked_at IS NULL
    )
    SELECT number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by, {STATUS}
    FROM ended;
END""",  # noqa: S608 (texts of ours)
    "gristmill_rotate_key (asked_by text, key_id text, new_id text, digest text, overlap_s float8,"
    " keep_expiry boolean, expiry timestamptz)": f"""
{ROWS} SECURITY DEFINER BEGIN ATOMIC
    WITH old AS MATERIALIZED (
        SELECT id, owner, name, scopes, expires_at FROM api_keys
        WHERE id = key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND replaced_by IS NULL
            AND {ADMIN}
        FOR UPDATE
    ), made AS (
        INSERT INTO api_keys (id, owner, name, secret_sha256, scopes, expires_at)
        SELECT new_id, owner, name, digest, scopes, CASE WHEN keep_expiry THEN expires_at ELSE expiry END FROM old
        RETURNING number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
    ), ending AS (
        UPDATE api_keys SET replaced_by = new_id,
            expires_at = least(api_keys.expires_at, now() + make_interval(secs => overlap_s))
        FROM old WHERE api_keys.id = old.id
        RETURNING api_keys.number, api_keys.id, api_keys.owner, api_keys.name, api_keys.scopes, api_keys.created_at,
            api_keys.expires_at, api_keys.last_used_at, api_keys.revoked_at, api_keys.replaced_by
    ), noted AS (
        INSERT INTO audit_events (action, owner, subject, key_id)
        SELECT 'key.rotated', owner, id, asked_by FROM old UNION ALL SELECT 'key.created', owner, id, asked_by FROM made
    )
    SELECT number, id, owner, name, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by, {STATUS}
    FROM (SELECT * FROM made UNION ALL SELECT * FROM ending) AS told ORDER BY number DESC;
END""",  # noqa: S608 (texts of ours)
}


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("api_keys", sa.Column("name", sa.Text(), server_default="", nullable=False))
    op.create_check_constraint(op.f("ck_api_keys_name"), "api_keys", "length(name) <= 200")
    op.create_index("uq_api_keys_number", "api_keys", ["number"], unique=True)
    for signature, body in FUNCTIONS.items():
        op.execute(f"CREATE FUNCTION {signature} {body}")
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {API}")


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_index("uq_api_keys_number", "api_keys")
    op.drop_constraint(op.f("ck_api_keys_name"), "api_keys")
    op.drop_column("api_keys", "name")
    op.drop_column("api_keys", "number")
