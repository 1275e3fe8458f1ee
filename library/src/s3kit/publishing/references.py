"""References from one static file to another: what they name, and how they are written once that has a hash."""

import posixpath
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

# What a root-relative reference to a static file begins with. It is not STATIC_URL, which is the bucket's address
# on a server and unknown where an image is built: the same tree must give the same names in both places.
ROOT = "/static/"

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)
_PARTS = re.compile(r"([^?#]*)(.*)", re.DOTALL)
# What would end a quoted string in CSS or JavaScript, or its line.
_UNSAFE = re.compile(r"""["'\\\x00-\x20\x7f]""")


class Reference(NamedTuple):
    """A place in a file, in bytes, where another file is named.

    `url` is what a browser reads there, escapes resolved; None stands for what only a browser can know, such as
    a template literal with substitutions. `form` is how the place is written anew, with %s for the address.
    """

    start: int
    end: int
    url: str | None
    form: bytes


def target(name: str, url: str) -> str | None:
    """Return the name that a reference in the file `name` stands for; one outside of the static files begins with `..`.

    Returns None for what is no static file: other sites, `data:`, fragments, folders, and root-relative addresses
    below another path than ROOT.
    """
    path = _PARTS.fullmatch(url)[1]  # type: ignore[index]
    if not path or _ELSEWHERE.match(url) or path.endswith("/"):
        return None
    if path.startswith("/"):
        return posixpath.normpath(unquote(path.removeprefix(ROOT))) if path.startswith(ROOT) else None
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))


def renamed(url: str, final: str) -> bytes:
    """Return the address of a reference whose file now has the name `final`, percent-encoded as in templates."""
    path, rest = _PARTS.fullmatch(url).groups()  # type: ignore[union-attr]
    folder, slash, _ = path.rpartition("/")
    address = quote(unquote(folder), safe="/~") + slash + quote(posixpath.basename(final), safe="~")
    return (address + _UNSAFE.sub(lambda found: quote(found[0]), rest)).encode()
