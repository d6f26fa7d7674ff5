"""Trunks that register, verify and refer; bindings of PBXs that register to us; the attestation of a call."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("trunk") as table:
        table.add_column(sa.Column("register", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("register_user", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("register_expires_s", sa.Integer(), nullable=False, server_default="600"))
        table.add_column(sa.Column("refer_targets", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("stir", sa.String(), nullable=False, server_default="off"))
        table.add_column(sa.Column("client_certificate", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("call") as table:
        table.add_column(sa.Column("attestation", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "binding",
        sa.Column("trunk", sa.String(), primary_key=True),
        sa.Column("contact", sa.String(), primary_key=True),
        sa.Column("path", sa.JSON(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("cseq", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
