"""DHCP and TFTP by a supervised dnsmasq: its configuration, its reservations, its process."""
