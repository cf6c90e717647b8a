"""How a machine that is not armed leaves the network boot: data of the machine."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("machine", schema=None) as batch:
        batch.add_column(
            sa.Column("leave_netboot", sa.String(), nullable=False, server_default="auto")
        )
        batch.add_column(sa.Column("bios_disk", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("machine", schema=None) as batch:
        batch.drop_column("bios_disk")
        batch.drop_column("leave_netboot")
