"""References from one static file to another: the file that a URL refers to, and the URL with its hashed name."""

import posixpath
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

# The prefix of root-relative references to static files. It isn't STATIC_URL, which differs between a server and an
# image build: the same tree must give the same names in both places.
ROOT = "/static/"

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)
_PARTS = re.compile(r"([^?#]*)(.*)", re.DOTALL)
# Characters that would end a quoted string in CSS or JavaScript, or break its line.
_UNSAFE = re.compile(r"""["'\\\x00-\x20\x7f]""")


class Reference(NamedTuple):
    """A position in a file, in bytes, that refers to another file.

    `url` is the URL with escapes resolved; None if it is only known in the browser, such as a template literal with
    substitutions. `form` is the replacement text, with %s for the URL.
    """

    start: int
    end: int
    url: str | None
    form: bytes


def target(name: str, url: str) -> str | None:
    """Return the name of the static file that a URL in the file `name` refers to.

    The name begins with `..` if it is outside of the static files. Returns None for URLs of other sites, `data:`,
    fragments, folders, and root-relative URLs that don't begin with ROOT.
    """
    path = _PARTS.fullmatch(url)[1]  # type: ignore[index]
    if not path or _ELSEWHERE.match(url) or path.endswith("/"):
        return None
    if path.startswith("/"):
        return posixpath.normpath(unquote(path.removeprefix(ROOT))) if path.startswith(ROOT) else None
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))


def renamed(url: str, final: str) -> bytes:
    """Return a reference's URL with its file name replaced by that of `final`, percent-encoded as in templates."""
    path, rest = _PARTS.fullmatch(url).groups()  # type: ignore[union-attr]
    folder, slash, _ = path.rpartition("/")
    address = quote(unquote(folder), safe="/~") + slash + quote(posixpath.basename(final), safe="~")
    return (address + _UNSAFE.sub(lambda found: quote(found[0]), rest)).encode()
