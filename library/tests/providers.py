"""The page on other providers, made from the data: `python -m tests.providers` writes it."""

from pathlib import Path

from s3kit.providers import PROVIDERS, TOPICS, Provider

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"

HEAD = """# Other providers than AWS

What ten providers of S3 storage can do for a site, and what a site loses there. Each statement has its source: the
provider's documentation, an issue, a line of code, or "measured", which means that this library was tried with it (Ceph
16.2 and 20). What has neither is "not known". A replay of what each provider rejects runs in the library's tests.

## Set it up

Set `AWS_S3_ENDPOINT_URL` to the provider's address, and the access key in the environment (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`). The host tells which provider it is, and mostly which region. A server of your own has a host
of your own, so name it: `AWS_S3_PROVIDER = "garage"` in the settings, or the option `provider` of a storage. Then:

```
python manage.py check
python manage.py s3 plan
python manage.py s3 apply
python manage.py s3 doctor
```

`check` says if the region does not fit the host. `plan` and `apply` leave out what the provider does not have, and
`doctor` has a line for each thing that is missing. A server that is not on this page works too: `plan` and `apply`
then learn what it has from [its answers](other-servers.md). Where keys cannot be limited to prefixes of a bucket,
`doctor` warns of it in the line "outside".

## What each has

"yes" is set by `apply`. "partly" is tried, and skipped if the server rejects it. "no" is not even asked for, and is an
error if the site cannot do without. "?" is not known, and is tried as well.
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD, f"| | {' | '.join(TOPICS)} |", f"|---|{'---|' * len(TOPICS)}"]
    for each in PROVIDERS:
        answers = (each.facts[topic].answer if topic in each.facts else "?" for topic in TOPICS)
        lines.append(f"| [{each.title}](#{_anchor(each.title)}) | {' | '.join(answers)} |")
    lines += ["", "## What a site loses", "", "| without | |", "|---|---|"]
    lines += [f"| {topic} | {loss} |" for topic, loss in TOPICS.items()]
    for each in PROVIDERS:
        lines += ["", *_section(each)]
    return "\n".join([*lines, ""])


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _section(provider: Provider) -> list[str]:
    named = "" if provider.hosts else f"\n`AWS_S3_PROVIDER` is `{provider.name}`."
    lines = [f"## {provider.title}", "", f"`AWS_S3_ENDPOINT_URL` is `{provider.endpoint}`.{named}"]
    lines += [provider.regions, "", f"Key: {provider.keys}", "", f"Public files: {provider.public}", ""]
    for topic in TOPICS:
        fact = provider.facts.get(topic)
        if fact is None:
            lines.append(f"- {topic}: not known")
            continue
        note = f", {fact.note}" if fact.note else ""
        source = "measured" if fact.source == "measured" else f"[source]({fact.source})"
        lines.append(f"- {topic}: {fact.answer}{note} ({source})")
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
