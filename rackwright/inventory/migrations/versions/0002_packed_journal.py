"""Facts of a run are packed, a commit a row; the task table gives way to what they tell."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rackwright.inventory.pack import encode

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHUNK = 20_000
_TELLING = ("issued", "ended", "marked")


def upgrade() -> None:
    with op.batch_alter_table("journal", schema=None) as batch:
        batch.add_column(sa.Column("facts", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "snapshot",
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_no", name=op.f("pk_snapshot")),
    )
    connection = op.get_bind()
    states = _last_states(connection)
    rows = connection.execute(
        sa.text(
            "SELECT seq, run_no, kind, stage, machine, attempt, status, payload, at "
            "FROM journal ORDER BY seq"
        )
    ).fetchall()
    group: list[Any] = []
    for row in rows:
        follows = group and row.run_no == group[-1].run_no and row.seq == group[-1].seq + 1
        if not follows or len(group) >= _CHUNK:
            _pack(connection, group, states)
            group = []
        if row.run_no:
            group.append(row)
    _pack(connection, group, states)
    op.drop_table("task")


def _last_states(connection: sa.Connection) -> dict[int, int]:
    """The seq of the last fact of each task -> the state that its row says."""
    known = {
        (row.run_no, row.stage, row.machine): row.state
        for row in connection.execute(sa.text("SELECT run_no, stage, machine, state FROM task"))
    }
    last: dict[tuple[int, int, int], int] = {}
    facts = sa.text("SELECT seq, run_no, stage, machine, kind FROM journal ORDER BY seq")
    for row in connection.execute(facts):
        if row.kind in _TELLING:
            last[row.run_no, row.stage, row.machine] = row.seq
    return {seq: known[key] for key, seq in last.items() if key in known}


def _pack(connection: sa.Connection, group: list[Any], states: dict[int, int]) -> None:
    if not group:
        return
    facts = [tuple(row[2:8]) for row in group]
    blob = encode(facts, [states.get(row.seq, 0) for row in group])
    last = group[-1]
    connection.execute(
        sa.text("DELETE FROM journal WHERE seq BETWEEN :first AND :last"),
        {"first": group[0].seq, "last": last.seq},
    )
    connection.execute(
        sa.text(
            "INSERT INTO journal "
            "(seq, run_no, kind, stage, machine, attempt, status, at, facts, payload) "
            "VALUES (:seq, :run_no, '', -1, -1, 0, 0, :at, :facts, :blob)"
        ),
        {
            "seq": last.seq,
            "run_no": last.run_no,
            "at": last.at,
            "facts": len(facts),
            "blob": blob,
        },
    )


def downgrade() -> None:
    """Forgets what runs did: an older version cannot read packed facts."""
    op.create_table(
        "task",
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("machine", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run_no", "stage", "machine", name=op.f("pk_task")),
        sqlite_with_rowid=False,
    )
    op.execute("DELETE FROM journal WHERE facts > 0")
    op.drop_table("snapshot")
    with op.batch_alter_table("journal", schema=None) as batch:
        batch.drop_column("facts")
