"""The tables.  Lists are JSON; times are Unix seconds; ids are text."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text, false

metadata = MetaData()

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", String, nullable=False))

workspace = Table("workspace", metadata, Column("id", String, primary_key=True), Column("name", String, nullable=False),
                  Column("operator", String), Column("max_calls", Integer),
                  Column("max_duration_s", Integer, nullable=False, server_default="300"),
                  Column("call_forwarding_number", String, nullable=False, server_default=""),
                  Column("timezone", String, nullable=False, server_default="UTC"),
                  Column("holidays", String, nullable=False, server_default=""))  # fmt: skip

trunk = Table(
    "trunk", metadata,
    Column("id", String, primary_key=True),
    Column("workspace", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False, unique=True),
    Column("pbx_domain", String, nullable=False),
    Column("username", String, nullable=False, default=""),
    Column("auth", String, nullable=False, default="digest"),
    Column("allowed_sources", JSON, nullable=False, default=list),
    Column("codecs", JSON, nullable=False),
    Column("max_calls", Integer, nullable=False, default=10),
    Column("active", Boolean, nullable=False, default=True),
    Column("register", String, nullable=False, server_default=""),
    Column("register_user", String, nullable=False, server_default=""),
    Column("register_expires_s", Integer, nullable=False, server_default="600"),
    Column("refer_targets", JSON, nullable=False, server_default="[]"),
    Column("stir", String, nullable=False, server_default="off"),
    Column("client_certificate", String, nullable=False, server_default=""),
    Column("ptime_ms", Integer, nullable=False, server_default="20"),
    Column("srtp", String, nullable=False, server_default="off"),
    Column("dtmf", String, nullable=False, server_default="rfc4733"),
    Column("noise_suppression", String, nullable=False, server_default=""),
    Column("record", Boolean, nullable=False, server_default=false()),
    Column("pbx", String, nullable=False, server_default="generic"),
    Column("transports", JSON, nullable=False, server_default="[]"),
    Column("calls_per_second", Integer, nullable=False, server_default="0"),
    Column("regions", JSON, nullable=False, server_default="[]"),
    Column("follow_redirects", Boolean, nullable=False, server_default=false()),
)  # fmt: skip

binding = Table(
    "binding", metadata,
    Column("trunk", String, primary_key=True),
    Column("contact", String, primary_key=True),
    Column("path", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Column("source", String, nullable=False),
    Column("call_id", String, nullable=False),
    Column("cseq", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
)  # fmt: skip

agent = Table(
    "agent", metadata,
    Column("id", String, primary_key=True),
    Column("workspace", ForeignKey("workspace.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("first_message", Text, nullable=False, default=""),
    Column("instructions", Text, nullable=False, default=""),
    Column("voice", String, nullable=False, default="en-us"),
    Column("language", String, nullable=False, default="en-US"),
    Column("backends", JSON, nullable=False),
    Column("max_duration_s", Integer, nullable=False, default=0),
    Column("call_forwarding_number", String, nullable=False, default=""),
    Column("tools", JSON, nullable=False, server_default='["transfer", "take_message", "end_call"]'),
    Column("silence_timeout_s", Integer, nullable=False, server_default="30"),
)  # fmt: skip

did = Table(
    "did", metadata,
    Column("number", String, primary_key=True),
    Column("trunk", ForeignKey("trunk.id"), primary_key=True, index=True),
    Column("agent", ForeignKey("agent.id"), nullable=False),
    Column("hours", String, nullable=False, server_default=""),
    Column("timezone", String, nullable=False, server_default=""),
    Column("holidays", String, nullable=False, server_default=""),
    Column("closed_agent", String, nullable=False, server_default=""),
)  # fmt: skip

extension = Table(
    "extension",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace", ForeignKey("workspace.id"), nullable=False, index=True),
    Column("number", String, nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False, default="person"),
    Column("department", String, nullable=False, default=""),
    Column("aliases", JSON, nullable=False, default=list),
    Column("digit", String, nullable=False, default=""),
    Column("pronunciation", String, nullable=False, default=""),
    Column("warm_transfer", Boolean, nullable=False, server_default=false()),
    Column("availability", String, nullable=False, server_default=""),
)

tenant_change = Table(
    "tenant_change", metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    *(Column(name, String, nullable=False) for name in ("who", "via", "kind", "name", "action")),
    Column("data", JSON, nullable=False),
)  # fmt: skip

secret = Table(
    "secret", metadata,
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("key_id", String, nullable=False, server_default=""),
    Column("wrapped", LargeBinary),
)  # fmt: skip
"""`key_id` names the master key that has wrapped the data key, '' where that was not written down."""

call = Table(
    "call", metadata,
    Column("id", String, primary_key=True),
    *(Column(name, String, nullable=False, default="") for name in (
        "sip_call_id", "direction", "workspace", "trunk", "did", "agent", "caller", "caller_name", "source", "transport",
        "user_agent", "codec", "disposition", "cause", "detail", "transferred_to", "flagged",
    )),
    Column("status", Integer),
    Column("started_at", Float, index=True),
    Column("answered_at", Float),
    Column("ended_at", Float),
    Column("duration_s", Float),
    Column("rtp", JSON),
    Column("attestation", String, nullable=False, server_default=""),
    Column("secured", String, nullable=False, server_default=""),
    *(Column(name, Float) for name in ("mos_min", "mos_mean", "remote_mos_min", "remote_mos_mean")),
    Column("run", String, nullable=False, server_default=""),
)  # fmt: skip
Index("ix_call_open", call.c.run, sqlite_where=call.c.ended_at.is_(None), postgresql_where=call.c.ended_at.is_(None))

run = Table("run", metadata, Column("id", String, primary_key=True), Column("seen_at", Float, nullable=False))
"""Each start of each node, and when it was last heard of, by the database's clock."""

ban = Table(
    "ban", metadata,
    Column("network", String, primary_key=True),
    Column("why", String, nullable=False),
    Column("level", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("by", String, nullable=False),
)  # fmt: skip
"""Sources of whom nothing is read until then; kept for a day longer, so that the next ban is a longer one."""

call_event = Table(
    "call_event", metadata,
    Column("call", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("data", JSON, nullable=False),
)  # fmt: skip

message = Table(
    "message", metadata,
    Column("id", String, primary_key=True),
    Column("call", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("caller", String, nullable=False, default=""),
    Column("for_id", String, nullable=False, default=""),
    Column("for_name", String, nullable=False, default=""),
    Column("duration_ms", Integer, nullable=False),
    Column("path", String, nullable=False),
)  # fmt: skip
