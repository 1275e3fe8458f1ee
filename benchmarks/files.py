"""Static files to collect: those of a small project, and thousands more. The bytes are the same on every machine.

Types and sizes are typical of a site with some npm packages: scripts, style sheets that refer to pictures and
fonts, and the pictures and fonts. Text compresses like real text; pictures don't compress.
"""

import random
import shutil
from pathlib import Path

SMALL = 20
MORE = 2000
CHANGED = "site/menu.js"

_WORDS = (
    *(
        "function",
        "return",
        "const",
        "let",
        "value",
        "element",
        "event",
        "class",
        "display",
        "margin",
        "padding",
    ),
    *(
        "color",
        "width",
        "height",
        "border",
        "position",
        "background",
        "handler",
        "options",
        "target",
        "length",
    ),
    *("index", "callback", "result", "error", "promise", "request"),
)


def write(folder: Path, *, more: int = 0) -> int:
    """Write the project's files to `folder`, and `more` times 2,000 of packages; return the number of files."""
    shutil.rmtree(folder, ignore_errors=True)
    chance = random.Random(2026)
    written = _project(folder / "site", chance)
    for number in range(more):
        written += _packages(folder / f"packages{number or ''}", chance)
    return written


def _project(folder: Path, chance: random.Random) -> int:
    pictures = [f"img/{name}.png" for name in ("hero", "team", "office", "map", "press")]
    icons = [f"img/{name}.svg" for name in ("logo", "search", "menu", "close")]
    fonts = ["fonts/text.woff2", "fonts/bold.woff2"]
    for name in pictures:
        _write(folder / name, chance.randbytes(chance.randint(10_000, 60_000)))
    for name in fonts:
        _write(folder / name, chance.randbytes(25_000))
    for name in icons:
        _write(folder / name, f"<svg><!-- {_text(chance, 600)} --></svg>")
    _write(folder / "favicon.ico", chance.randbytes(1_500))
    _write(folder / "base.css", _sheet(chance, 9_000, [*fonts, *icons]))
    _write(folder / "site.css", '@import url("base.css");\n' + _sheet(chance, 14_000, pictures))
    _write(folder / "print.css", _sheet(chance, 2_000, []))
    _write(folder / "lib.js", f"export const lib = `{_text(chance, 8_000)}`;\n")
    _write(folder / "app.js", f'import {{ lib }} from "./lib.js";\n// {_text(chance, 12_000)}\nlib.at(0);\n')
    _write(folder / "menu.js", f"// {_text(chance, 3_000)}\n")
    _write(folder / "gallery.js", f"// {_text(chance, 6_000)}\n")
    _write(folder / "site.webmanifest", '{"name": "A site"}\n')
    return SMALL


def _packages(folder: Path, chance: random.Random) -> int:
    counts = {"png": 500, "svg": 300, "woff2": 200, "css": 300, "js": 700}
    assert sum(counts.values()) == MORE
    names = {kind: [f"{number:03}/file.{kind}" for number in range(n)] for kind, n in counts.items()}
    targets = [*names["png"], *names["svg"], *names["woff2"]]
    for kind, paths in names.items():
        for path in paths:
            # Most have 1 to 15 kB, a few 50 and more.
            content: str | bytes
            size = int(min(chance.lognormvariate(8.3, 1.0), 120_000))
            if kind == "css":
                content = _sheet(chance, size, [f"../{name}" for name in chance.sample(targets, 3)])
            elif kind == "js":
                content = f"// {_text(chance, size)}\n"
            elif kind == "svg":
                content = f"<svg><!-- {_text(chance, size)} --></svg>"
            else:
                content = chance.randbytes(size)
            _write(folder / path, content)
    return MORE


def _sheet(chance: random.Random, size: int, names: list[str]) -> str:
    rules = "".join(f'.{chance.choice(_WORDS)} {{ background: url("{name}") }}\n' for name in names)
    return f"{rules}/* {_text(chance, size)} */\n"


def _text(chance: random.Random, size: int) -> str:
    words = (f"{chance.choice(_WORDS)}{chance.randint(0, 999)}" for _ in range(size // 10 + 1))
    return " ".join(words)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
