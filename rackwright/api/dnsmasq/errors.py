"""What can go wrong around dnsmasq; each says what to do next."""

_START_HINTS = {
    "Address already in use": "another program has the port, maybe a dnsmasq of libvirt or LXD: "
    "`ss -lunp` names it; stop it, or set the segment's dhcp to none",
    "Permission denied": "run as root: DHCP and TFTP need privileged ports",
    "unknown interface": "`ip address` shows the interfaces; correct the segment's interface",
    "Cannot assign requested address": "give the segment's boot_server address to its interface",
}


class DnsmasqError(Exception):
    """Root. ``hint`` says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.hint = hint


class SegmentError(DnsmasqError):
    """The segment cannot be served as it is described: the operator's to change."""


class StartError(DnsmasqError):
    """dnsmasq is missing, refused its configuration, or did not become ready."""


def start_hint(complaint: str) -> str:
    """What to do about a line that dnsmasq said as it ended, "" where nothing is known."""
    for words, hint in _START_HINTS.items():
        if words in complaint:
            return hint
    return ""


class RogueServerError(DnsmasqError):
    """Another DHCP server answers on the segment."""
