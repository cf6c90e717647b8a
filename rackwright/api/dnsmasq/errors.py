"""What can go wrong around dnsmasq; each says what to do next."""


class DnsmasqError(Exception):
    """Root. ``hint`` says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.hint = hint


class SegmentError(DnsmasqError):
    """The segment cannot be served as it is described: the operator's to change."""


class StartError(DnsmasqError):
    """dnsmasq is missing, refused its configuration, or did not become ready."""


class RogueServerError(DnsmasqError):
    """Another DHCP server answers on the segment."""
