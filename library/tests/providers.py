"""Generate the page on other providers: `python -m tests.providers` writes it."""

from collections.abc import Sequence
from pathlib import Path

from s3kit.providers import PROVIDERS, TOPICS, Fact, Provider

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"

HEAD = """# Providers other than AWS

What other S3 servers and providers support, which settings they need, and what a site loses there.

Each statement has its source: the provider's documentation, an issue, or a line of code. "Measured" means that this
library was tested with the server (Ceph 16.2 and 20). The library's tests also replay what each provider rejects.

## Set it up

Set `AWS_S3_ENDPOINT_URL` to the provider's address, and the access key in the environment (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`). The host determines the provider and usually the region. If you run the server yourself, under
your own host name, also name it: `AWS_S3_PROVIDER = "garage"` in the settings, or the option `provider` of a storage.
Then run:

```sh
python manage.py check
python manage.py s3 plan
python manage.py s3 apply
python manage.py s3 doctor
```

- `check` reports a region that doesn't match the host.
- `plan` and `apply` leave out what the provider doesn't support.
- `doctor` warns of each missing feature. If the provider can't limit keys to prefixes of a bucket, the line
  `outside` is a warning.

Other servers work too: `plan` and `apply` then [detect what the server supports](other-servers.md).

## What each supports

- **yes**: `apply` sets it, or it is always on.
- **partly**: `apply` tries it, and skips it if the server rejects it.
- **no**: `apply` doesn't try it. If the site needs it, that is an error.
- **?**: unknown. `apply` tries it, as with "partly".
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD, *_table("service", [each for each in PROVIDERS if each.hosts]), ""]
    lines += _table("server that you run", [each for each in PROVIDERS if not each.hosts])
    lines += ["", "## What a site loses", "", "| without | what happens |", "|---|---|"]
    lines += [f"| {topic} | {loss} |" for topic, loss in TOPICS.items()]
    for each in PROVIDERS:
        lines += ["", *_section(each)]
    return "\n".join([*lines, ""])


def _table(kind: str, found: Sequence[Provider]) -> list[str]:
    names = [f"[{each.title}](#{_anchor(each.title)})" for each in found]
    lines = [f"| {kind} | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for topic in TOPICS:
        answers = (each.facts[topic].answer if topic in each.facts else "?" for each in found)
        lines.append(f"| {topic} | {' | '.join(answers)} |")
    return lines


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _section(provider: Provider) -> list[str]:
    named = "" if provider.hosts else f"\n- `AWS_S3_PROVIDER`: `{provider.name}`"
    lines = [f"## {provider.title}", "", f"- `AWS_S3_ENDPOINT_URL`: `{provider.endpoint}`{named}"]
    lines += [
        f"- Region: {provider.regions}",
        f"- Access key: {provider.keys}",
        f"- Public files: {provider.public}",
    ]
    topics: dict[str, list[str]] = {}
    for topic in TOPICS:
        topics.setdefault(_said(provider.facts.get(topic)), []).append(topic)
    return [
        *lines,
        "",
        "Features:",
        "",
        *(f"- **{', '.join(names)}**: {said}" for said, names in topics.items()),
    ]


def _said(fact: Fact | None) -> str:
    if fact is None:
        return "unknown"
    note = f"; {fact.note}" if fact.note else ""
    source = "measured" if fact.source == "measured" else f"[source]({fact.source})"
    return f"{fact.answer}{note} ({source})"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
