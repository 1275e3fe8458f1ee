"""The IP address of the client."""

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the client's IP address: the connection's, or behind n proxies the n-th last in X-Forwarded-For.

    The number of proxies is the setting AXES_IPWARE_PROXY_COUNT; without it, the header is ignored. For an IPv6 address
    it returns the /64 network, because a client usually has all its 2**64 addresses.
    """
    proxies = getattr(settings, "AXES_IPWARE_PROXY_COUNT", None) or 0
    header = request.META.get("HTTP_X_FORWARDED_FOR")
    forwarded = header.split(",") if header else []
    behind = 0 < proxies <= len(forwarded)
    try:
        address = ip_address(forwarded[-proxies].strip() if behind else request.META["REMOTE_ADDR"])
    except ValueError:  # a Unix socket has no address
        return None
    if isinstance(address, IPv6Address) and not address.ipv4_mapped:
        return str(ip_network((int(address), 64), strict=False).network_address)
    return str(address)
