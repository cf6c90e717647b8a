"""The virtual rack: hardware made of QEMU, and nothing of the product.

It is spoken to over the wire only (IPMI, Redfish, DHCP, HTTP, SSH), so that production code runs on
it unmodified. It must never import ``rackwright.api``, ``engine`` or ``inventory``.
"""
