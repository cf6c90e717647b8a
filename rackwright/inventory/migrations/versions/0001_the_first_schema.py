"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_subject"), ["subject"], unique=False)

    op.create_table(
        "bmc_endpoint",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("certificate_pem", sa.String(), nullable=False),
        sa.Column("cipher_suite", sa.Integer(), nullable=False),
        sa.Column("quirks", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bmc_endpoint")),
        sa.UniqueConstraint("protocol", "address", name=op.f("uq_bmc_endpoint_protocol_address")),
    )
    op.create_table(
        "cluster",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("cluster_id", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cluster")),
    )
    op.create_table(
        "image",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_image")),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_name"), ["name"], unique=False)

    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("machine", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "owner",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owner")),
    )
    op.create_table(
        "plan",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_plan")),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secret")),
    )
    op.create_table(
        "site",
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_site")),
    )
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
    op.create_table(
        "rack",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_rack_site_site")),
        sa.PrimaryKeyConstraint("site", "name", name=op.f("pk_rack")),
    )
    op.create_table(
        "run",
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("plan_digest", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("owner_epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["plan_digest"], ["plan.digest"], name=op.f("fk_run_plan_digest_plan")
        ),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_run")),
        sa.UniqueConstraint("id", name=op.f("uq_run_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_plan_digest"), ["plan_digest"], unique=False)

    op.create_table(
        "segment",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("subnet", sa.String(), nullable=False),
        sa.Column("vlan", sa.Integer(), nullable=True),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("mtu_bytes", sa.Integer(), nullable=False),
        sa.Column("dns", sa.JSON(), nullable=False),
        sa.Column("ntp", sa.JSON(), nullable=False),
        sa.Column("dhcp", sa.String(), nullable=False),
        sa.Column("dhcp_first", sa.String(), nullable=False),
        sa.Column("dhcp_last", sa.String(), nullable=False),
        sa.Column("relay", sa.String(), nullable=False),
        sa.Column("interface", sa.String(), nullable=False),
        sa.Column("boot_server", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_segment_site_site")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_segment")),
    )
    op.create_table(
        "machine",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("rack", sa.String(), nullable=True),
        sa.Column("machine_class", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("firmware", sa.String(), nullable=True),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=True),
        sa.Column("serial", sa.String(), nullable=True),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("memory_bytes", sa.Integer(), nullable=True),
        sa.Column("cpu_count", sa.Integer(), nullable=True),
        sa.Column("console", sa.String(), nullable=False),
        sa.Column("boot_method", sa.String(), nullable=False),
        sa.Column("boot_deadline_s", sa.Float(), nullable=False),
        sa.Column("enrolled_at", sa.Float(), nullable=False),
        sa.Column("discovered_at", sa.Float(), nullable=True),
        sa.Column("data_accepted", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "rack"], ["rack.site", "rack.name"], name=op.f("fk_machine_site_rack_rack")
        ),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_machine_site_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine")),
        sa.UniqueConstraint("name", name=op.f("uq_machine_name")),
        sa.UniqueConstraint("serial", name=op.f("uq_machine_serial")),
        sa.UniqueConstraint("uuid", name=op.f("uq_machine_uuid")),
    )
    with op.batch_alter_table("machine", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_machine_machine_class"), ["machine_class"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_machine_state"), ["state"], unique=False)

    op.create_table(
        "run_machine",
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("machine", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_no"], ["run.no"], name=op.f("fk_run_machine_run_no_run")),
        sa.PrimaryKeyConstraint("run_no", "machine", name=op.f("pk_run_machine")),
    )
    with op.batch_alter_table("run_machine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_machine_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "run_stage",
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_no"], ["run.no"], name=op.f("fk_run_stage_run_no_run")),
        sa.PrimaryKeyConstraint("run_no", "stage", name=op.f("pk_run_stage")),
    )
    op.create_table(
        "bmc_system",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["bmc_endpoint.id"],
            name=op.f("fk_bmc_system_endpoint_id_bmc_endpoint"),
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_bmc_system_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("machine_id", "endpoint_id", name=op.f("pk_bmc_system")),
        sa.UniqueConstraint("endpoint_id", "system", name=op.f("uq_bmc_system_endpoint_id_system")),
    )
    op.create_table(
        "boot_window",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("host_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_boot_window_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_boot_window")),
    )
    with op.batch_alter_table("boot_window", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_boot_window_machine_id_state"), ["machine_id", "state"], unique=False
        )

    op.create_table(
        "cluster_member",
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("joined_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster"], ["cluster.name"], name=op.f("fk_cluster_member_cluster_cluster")
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_cluster_member_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("cluster", "machine_id", name=op.f("pk_cluster_member")),
        sa.UniqueConstraint("machine_id", name=op.f("uq_cluster_member_machine_id")),
    )
    op.create_table(
        "controller",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("driver", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_controller_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_controller")),
    )
    with op.batch_alter_table("controller", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_controller_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "installation",
        sa.Column("install_id", sa.String(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("drive_serial", sa.String(), nullable=False),
        sa.Column("image_digest", sa.String(), nullable=False),
        sa.Column("os", sa.String(), nullable=False),
        sa.Column("erased_at", sa.Float(), nullable=True),
        sa.Column("installed_at", sa.Float(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_installation_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("install_id", name=op.f("pk_installation")),
        sa.UniqueConstraint(
            "machine_id", "generation", name=op.f("uq_installation_machine_id_generation")
        ),
    )
    op.create_table(
        "label",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_label_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("machine_id", "key", name=op.f("pk_label")),
    )
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_label_key_value"), ["key", "value"], unique=False)

    op.create_table(
        "link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=True),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("vlan", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_link_machine_id_machine")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["link.id"], name=op.f("fk_link_parent_id_link")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_link_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "nic",
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_enrolled", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("driver", sa.String(), nullable=False),
        sa.Column("speed_mbps", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_nic_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("mac", name=op.f("pk_nic")),
    )
    with op.batch_alter_table("nic", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nic_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "ramdisk_contact",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("window_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), nullable=False),
        sa.Column("host_key", sa.String(), nullable=False),
        sa.Column("ramdisk_machine_id", sa.String(), nullable=False),
        sa.Column("ramdisk_digest", sa.String(), nullable=False),
        sa.Column("firmware", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_ramdisk_contact_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("pk_ramdisk_contact")),
    )
    op.create_table(
        "reservation",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("reserved_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_reservation_machine_id_machine")
        ),
        sa.ForeignKeyConstraint(["run_no"], ["run.no"], name=op.f("fk_reservation_run_no_run")),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("pk_reservation")),
    )
    with op.batch_alter_table("reservation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reservation_run_no"), ["run_no"], unique=False)

    op.create_table(
        "ssh_binding",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("host_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_ssh_binding_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("pk_ssh_binding")),
    )
    op.create_table(
        "address",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("link_id", sa.Integer(), nullable=False),
        sa.Column("segment", sa.String(), nullable=True),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("ip", sa.String(), nullable=False),
        sa.Column("prefix", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("fk_address_link_id_link")),
        sa.ForeignKeyConstraint(
            ["segment"], ["segment.name"], name=op.f("fk_address_segment_segment")
        ),
        sa.ForeignKeyConstraint(["site"], ["site.name"], name=op.f("fk_address_site_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address")),
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_ip"), ["ip"], unique=False)
        batch_op.create_index(batch_op.f("ix_address_link_id"), ["link_id"], unique=False)

    op.create_table(
        "boot_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("window_id", sa.Integer(), nullable=False),
        sa.Column("minted_at", sa.Float(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["window_id"], ["boot_window.id"], name=op.f("fk_boot_token_window_id_boot_window")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_boot_token")),
        sa.UniqueConstraint("sha256", name=op.f("uq_boot_token_sha256")),
    )
    with op.batch_alter_table("boot_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_boot_token_window_id"), ["window_id"], unique=False)

    op.create_table(
        "drive",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("controller_id", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("wwn", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sector_bytes", sa.Integer(), nullable=False),
        sa.Column("transport", sa.String(), nullable=False),
        sa.Column("rotational", sa.Boolean(), nullable=False),
        sa.Column("removable", sa.Boolean(), nullable=False),
        sa.Column("has_data", sa.Boolean(), nullable=False),
        sa.Column("signatures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.id"], name=op.f("fk_drive_controller_id_controller")
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_drive_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drive")),
    )
    with op.batch_alter_table("drive", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_drive_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "volume",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("controller_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.id"], name=op.f("fk_volume_controller_id_controller")
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_volume_machine_id_machine")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
    )
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_volume_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "machine_network",
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("pxe_mac", sa.String(), nullable=True),
        sa.Column("management_address_id", sa.Integer(), nullable=True),
        sa.Column("cluster_address_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["cluster_address_id"],
            ["address.id"],
            name=op.f("fk_machine_network_cluster_address_id_address"),
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_machine_network_machine_id_machine")
        ),
        sa.ForeignKeyConstraint(
            ["management_address_id"],
            ["address.id"],
            name=op.f("fk_machine_network_management_address_id_address"),
        ),
        sa.ForeignKeyConstraint(
            ["pxe_mac"], ["nic.mac"], name=op.f("fk_machine_network_pxe_mac_nic")
        ),
        sa.PrimaryKeyConstraint("machine_id", name=op.f("pk_machine_network")),
    )

    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_refuses_{change.lower()} BEFORE {change} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
        )


def downgrade() -> None:
    for change in ("update", "delete"):
        op.execute(f"DROP TRIGGER audit_refuses_{change}")
    op.drop_table("machine_network")
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_volume_machine_id"))

    op.drop_table("volume")
    with op.batch_alter_table("drive", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_drive_machine_id"))

    op.drop_table("drive")
    with op.batch_alter_table("boot_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_boot_token_window_id"))

    op.drop_table("boot_token")
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_address_link_id"))
        batch_op.drop_index(batch_op.f("ix_address_ip"))

    op.drop_table("address")
    op.drop_table("ssh_binding")
    with op.batch_alter_table("reservation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reservation_run_no"))

    op.drop_table("reservation")
    op.drop_table("ramdisk_contact")
    with op.batch_alter_table("nic", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_nic_machine_id"))

    op.drop_table("nic")
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_link_machine_id"))

    op.drop_table("link")
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_label_key_value"))

    op.drop_table("label")
    op.drop_table("installation")
    with op.batch_alter_table("controller", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_controller_machine_id"))

    op.drop_table("controller")
    op.drop_table("cluster_member")
    with op.batch_alter_table("boot_window", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_boot_window_machine_id_state"))

    op.drop_table("boot_window")
    op.drop_table("bmc_system")
    op.drop_table("run_stage")
    with op.batch_alter_table("run_machine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_machine_machine_id"))

    op.drop_table("run_machine")
    with op.batch_alter_table("machine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_machine_state"))
        batch_op.drop_index(batch_op.f("ix_machine_machine_class"))

    op.drop_table("machine")
    op.drop_table("segment")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_plan_digest"))

    op.drop_table("run")
    op.drop_table("rack")
    op.drop_table("task")
    op.drop_table("site")
    op.drop_table("secret")
    op.drop_table("plan")
    op.drop_table("owner")
    op.drop_table("journal")
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_name"))

    op.drop_table("image")
    op.drop_table("cluster")
    op.drop_table("bmc_endpoint")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_subject"))

    op.drop_table("audit")
