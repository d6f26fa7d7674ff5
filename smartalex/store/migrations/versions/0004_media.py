"""What trunks speak, and what keeps it from others.

The codecs every trunk had are no longer named by each, but once for the node.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

trunk = sa.table("trunk", sa.column("codecs", sa.JSON()))


def upgrade() -> None:
    with op.batch_alter_table("trunk") as table:
        table.add_column(sa.Column("ptime_ms", sa.Integer(), nullable=False, server_default="20"))
        table.add_column(sa.Column("srtp", sa.String(), nullable=False, server_default="off"))
        table.add_column(sa.Column("dtmf", sa.String(), nullable=False, server_default="rfc4733"))
        table.add_column(sa.Column("noise_suppression", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("record", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("call") as table:
        table.add_column(sa.Column("secured", sa.String(), nullable=False, server_default=""))
        for name in ("mos_min", "mos_mean", "remote_mos_min", "remote_mos_mean"):
            table.add_column(sa.Column(name, sa.Float()))
    op.execute(trunk.update().values(codecs=[]))
