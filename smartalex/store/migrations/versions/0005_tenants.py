"""What tenants can say of themselves: workspaces, kinds of PBX, business hours, availability; and what was changed last.

Agents that had the 300 s of everybody have those of their workspace now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WRAPPED = 12 + 32 + 16
"""Bytes of a wrapped data key, which stood before the text that it seals."""

secret = sa.table("secret", *(sa.column(name) for name in ("name", "sealed", "wrapped")))
agent = sa.table("agent", sa.column("max_duration_s", sa.Integer()))


def upgrade() -> None:
    with op.batch_alter_table("workspace") as table:
        table.add_column(sa.Column("max_duration_s", sa.Integer(), nullable=False, server_default="300"))
        table.add_column(sa.Column("call_forwarding_number", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("timezone", sa.String(), nullable=False, server_default="UTC"))
        table.add_column(sa.Column("holidays", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("trunk") as table:
        table.add_column(sa.Column("pbx", sa.String(), nullable=False, server_default="generic"))
        table.add_column(sa.Column("transports", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("calls_per_second", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("regions", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("follow_redirects", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("agent") as table:
        tools = '["transfer", "take_message", "end_call"]'
        table.add_column(sa.Column("tools", sa.JSON(), nullable=False, server_default=tools))
        table.add_column(sa.Column("silence_timeout_s", sa.Integer(), nullable=False, server_default="30"))
    with op.batch_alter_table("did") as table:
        for name in ("hours", "timezone", "holidays", "closed_agent"):
            table.add_column(sa.Column(name, sa.String(), nullable=False, server_default=""))
        table.create_index("ix_did_trunk", ["trunk"])
    with op.batch_alter_table("extension") as table:
        table.add_column(sa.Column("warm_transfer", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("availability", sa.String(), nullable=False, server_default=""))
        table.create_index("ix_extension_workspace", ["workspace"])
    op.create_table(
        "tenant_change",
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
    )
    with op.batch_alter_table("call") as table:
        table.add_column(sa.Column("run", sa.String(), nullable=False, server_default=""))
    still_open = sa.column("ended_at").is_(None)
    op.create_index("ix_call_open", "call", ["run"], sqlite_where=still_open, postgresql_where=still_open)
    op.create_table(
        "run",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("seen_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "ban",
        sa.Column("network", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("why", "by")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("since", "until")),
        sa.Column("level", sa.Integer(), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("who", "via", "kind", "name", "action")),
        sa.Column("data", sa.JSON(), nullable=False),
    )
    op.execute(agent.update().where(agent.c.max_duration_s == 300).values(max_duration_s=0))
    with op.batch_alter_table("secret") as table:
        table.add_column(sa.Column("key_id", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("wrapped", sa.LargeBinary()))
    rows = op.get_bind().execute(sa.select(secret.c.name, secret.c.sealed)).all()
    for name, sealed in rows:
        if len(sealed) <= WRAPPED:
            continue
        parts = {"wrapped": bytes(sealed[:WRAPPED]), "sealed": bytes(sealed[WRAPPED:])}
        op.execute(secret.update().where(secret.c.name == name).values(**parts))
