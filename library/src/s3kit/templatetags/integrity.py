"""A template tag that makes browsers reject a script that differs from the published one."""

from django import template
from django.core.files.storage import storages
from django.utils.html import format_html
from django.utils.safestring import SafeString

from s3kit.storages.static import StaticStorage

register = template.Library()


@register.simple_tag
def integrity(name: str) -> SafeString | str:
    """Return the attribute `integrity` of a static script, a space before it; nothing for local files.

    An attacker who can write to the bucket, or to a CDN in front of it, still can't run a script on the page.
    """
    storage = storages["staticfiles"]
    found = storage.integrity(name) if isinstance(storage, StaticStorage) else ""
    return format_html(' integrity="{}"', found) if found else ""
