"""The tables.  Migrations under migrations/versions lead to exactly this (a test compares them)."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", Integer, nullable=False),  # grows with every change of what tenants own
)

workspace = Table(
    "workspace",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("operator", Text),  # an extension id
)

trunk = Table(
    "trunk",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspace.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("pbx_domain", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("allowed_sources", JSON, nullable=False),
    Column("codecs", JSON, nullable=False),
    Column("max_calls", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, ForeignKey("workspace.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("first_message", Text, nullable=False),
    Column("instructions", Text, nullable=False),
    Column("voice", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("backends", JSON, nullable=False),
    Column("max_duration_s", Integer, nullable=False),
    Column("call_forwarding_number", Text, nullable=False),
)

did = Table(
    "did",
    metadata,
    Column("trunk_id", Text, ForeignKey("trunk.id"), primary_key=True),
    Column("number", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.id"), nullable=False),
)

extension = Table(
    "extension",
    metadata,
    Column("workspace_id", Text, ForeignKey("workspace.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("aliases", JSON, nullable=False),
    Column("digit", Text, nullable=False),
    Column("pronunciation", Text, nullable=False),
)

secret = Table(
    "secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# Records name workspace, trunk and agent in plain text and point at nothing: they outlive what they tell about.
call = Table(
    "call",
    metadata,
    Column("id", Text, primary_key=True),
    Column("last_seq", Integer, nullable=False),  # of the last event applied: what makes a replay harmless
    Column("sip_call_id", Text, index=True),
    Column("direction", Text),
    Column("workspace", Text),
    Column("trunk", Text),
    Column("did", Text),
    Column("agent", Text),
    Column("caller", Text),
    Column("caller_name", Text),
    Column("source", Text),
    Column("transport", Text),
    Column("user_agent", Text),
    Column("codec", Text),
    Column("started_at", Float, nullable=False),
    Column("answered_at", Float),
    Column("ended_at", Float),
    Column("duration_s", Float),
    Column("disposition", Text),
    Column("status", Integer),
    Column("cause", Text),
    Column("detail", Text),
    Column("transferred_to", Text),
    Column("rtp", Text),  # JSON object
    Column("flagged", Text),
    sqlite_with_rowid=False,
)
Index("ix_call_open", call.c.id, sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL"))
Index(
    "ix_call_refused", call.c.id, sqlite_where=text("disposition = 'refused'"), postgresql_where=text("disposition = 'refused'")
)

call_event = Table(
    "call_event",
    metadata,
    Column("call", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON object
    sqlite_with_rowid=False,
)

message = Table(
    "message",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("caller", Text, nullable=False),
    Column("for_id", Text, nullable=False),
    Column("for_name", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("file", Text, nullable=False),  # name within the messages folder
)
