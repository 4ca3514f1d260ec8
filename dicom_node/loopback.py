"""Whether an address is this machine's own."""

from ipaddress import ip_address


def is_loopback(address: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    if address.lower() == "localhost":
        return True
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
