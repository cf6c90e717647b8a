"""What a machine's BMC speaks: IPMI 2.0 over LAN, and Redfish over HTTPS."""
