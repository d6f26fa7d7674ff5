"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _tenants()
    _records()
    meta = op.create_table(
        "meta",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"id": 1, "revision": 0}])


def _tenants() -> None:
    op.create_table(
        "workspace",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("operator", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_workspace"),
    )
    op.create_table(
        "trunk",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("pbx_domain", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("auth", sa.Text, nullable=False),
        sa.Column("allowed_sources", sa.JSON, nullable=False),
        sa.Column("codecs", sa.JSON, nullable=False),
        sa.Column("max_calls", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trunk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_trunk_workspace_id_workspace"),
    )
    op.create_table(
        "agent",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("first_message", sa.Text, nullable=False),
        sa.Column("instructions", sa.Text, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("backends", sa.JSON, nullable=False),
        sa.Column("max_duration_s", sa.Integer, nullable=False),
        sa.Column("call_forwarding_number", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_agent_workspace_id_workspace"),
    )
    op.create_table(
        "did",
        sa.Column("trunk_id", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("trunk_id", "number", name="pk_did"),
        sa.ForeignKeyConstraint(["trunk_id"], ["trunk.id"], name="fk_did_trunk_id_trunk"),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name="fk_did_agent_id_agent"),
    )
    op.create_table(
        "extension",
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("department", sa.Text, nullable=False),
        sa.Column("aliases", sa.JSON, nullable=False),
        sa.Column("digit", sa.Text, nullable=False),
        sa.Column("pronunciation", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_extension"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_extension_workspace_id_workspace"),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secret"),
    )


def _records() -> None:
    texts = "direction workspace trunk did agent caller caller_name source transport user_agent codec"
    op.create_table(
        "call",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("sip_call_id", sa.Text),
        *(sa.Column(name, sa.Text) for name in texts.split()),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("duration_s", sa.Float),
        sa.Column("disposition", sa.Text),
        sa.Column("status", sa.Integer),
        *(sa.Column(name, sa.Text) for name in ("cause", "detail", "transferred_to", "rtp", "flagged")),
        sa.PrimaryKeyConstraint("id", name="pk_call"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_call_sip_call_id", "call", ["sip_call_id"])
    for name, condition in (("ix_call_open", "ended_at IS NULL"), ("ix_call_refused", "disposition = 'refused'")):
        op.create_index(name, "call", ["id"], sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
    op.create_table(
        "call_event",
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call", "seq", name="pk_call_event"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("for_id", sa.Text, nullable=False),
        sa.Column("for_name", sa.Text, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first tables")
