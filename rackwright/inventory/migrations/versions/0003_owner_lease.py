"""The owner's lease: until when it may act, and which process it is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("owner", schema=None) as batch:
        batch.add_column(sa.Column("lease_until", sa.Float(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("boot_id", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("started", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("owner", schema=None) as batch:
        batch.drop_column("started")
        batch.drop_column("boot_id")
        batch.drop_column("lease_until")
