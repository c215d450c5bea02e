"""The page's host names, its path behind a proxy, and whether other machines reach it."""

import ipaddress
import re
from collections.abc import Sequence

from serve.refusals import refusal

# A name, an IPv4 or an IPv6 address; a port.
HOST = re.compile(r"(?P<name>[\w.-]+?|\[[\da-f:]+\])\.?(:(?P<port>\d+))?")
DEFAULT_PORTS = {"http": 80, "https": 443}
ROOT_PATH = re.compile(r"(/(?!\.+(/|$))[\w.~-]+)*", re.ASCII)


def host_name(text: str) -> str:
    """Return the name in NAME or NAME:PORT as browsers send it, or raise UserError.

    An IPv6 address has no brackets then, as in `Guard`.
    """
    if ":" in text and _is_address(text):
        return text.lower()
    match = HOST.fullmatch(text.lower())
    if not match and text != "*":
        raise refusal("host-invalid", repr(text))
    try:
        return match["name"].strip("[]").encode("idna").decode() if match else text
    except UnicodeError:
        raise refusal("host-invalid", repr(text)) from None


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def clean_root_path(text: str) -> str:
    """Return /PATH without a trailing slash, "" for none; raise UserError for anything else."""
    path = f"/{text.strip('/')}".rstrip("/")
    if not ROOT_PATH.fullmatch(path):
        raise refusal("root-path-invalid", repr(text))
    return path


def check_exposure(host: str, auth: str | None, allowed_hosts: Sequence[str]) -> None:
    """Raise UserError if other machines could reach the page without a password and a name."""
    if auth is not None and not all(auth.partition(":")[::2]):
        raise refusal("auth-invalid", "something else")  # a password is never shown
    options = {"--auth USER:PASSWORD": auth, "--allowed-host NAME": allowed_hosts}
    missing = [option for option, value in options.items() if not value]
    public = public_names(host, allowed_hosts)
    if public and missing:
        found = "a page that other machines can reach"
        raise refusal("page-exposed", found, host=public[0], options=" and ".join(missing))


def public_names(host: str, allowed_hosts: Sequence[str]) -> list[str]:
    """Return the names under which other machines reach the page, directly or by a proxy."""
    return [name for name in (host, *allowed_hosts) if not _is_loopback(name)]


def _is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine and no other."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether a page of `origin` belongs to `host`; a default port may be left out."""
    scheme, separator, rest = origin.partition("://")
    pages, own = HOST.fullmatch(rest), HOST.fullmatch(host)
    if not (pages and own and separator and scheme in DEFAULT_PORTS):
        return False
    default = DEFAULT_PORTS[scheme]
    ports = [int(match["port"] or default) for match in (pages, own)]
    return pages["name"] == own["name"] and ports[0] == ports[1]
