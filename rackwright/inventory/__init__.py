"""The truth: what there is, which state it is in, what was done to it. All SQL lives here.

It imports neither the engine nor anything above; it hands out plain frozen values (``values``) that
fit the engine's by field names, and ``api`` converts. Start at ``facade.Inventory``.

  facade         what ``api`` wires: one object, its methods listed at the top of the file
  errors         one root, leaves by whose fault it is
  values         the frozen values that go out

  tables/        the schema (sqlmodel), read and written through Core; ``migrations/`` makes it
  database       opening; the readers; ``writer``: the one writer with its group commit
  owner          the directory's lock and the owner epoch; ``storage_errors``: SQLite's failures
  journal        facts of runs, task projection, the feed of events

  machines       who they are, their state; ``machine_views`` reads them, ``lifecycle`` is the table
  installations  what a ramdisk discovered and what we installed; ``credentials`` of BMCs
  enrol/         YAML and CSV in; ``identity``: MACs, UUIDs, serials and placeholders
  selectors      kubectl's language over labels
  segments       networks and their DHCP mode
  boot_tokens    arm windows, one-time tokens, first contact; ``doorbell`` wakes who waits for it
  plans, runs    plans by digest; reservations, runs, tasks
  clusters       clusters and members
  secrets        encryption at rest; ``audit``: who did what
"""
