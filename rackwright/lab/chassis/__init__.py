"""One machine: the process that owns its QEMU, its console and its BMC.

It runs inside the rack's namespace as ``python -m rackwright.lab.chassis`` and knows only its own
machine's directory.
"""
