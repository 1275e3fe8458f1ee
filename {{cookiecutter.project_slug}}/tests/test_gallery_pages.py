"""What browsers are told about the gallery's pages, and that each of their scripts is checked."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from gallery.models import Picture
from tests.csp_headers import BEST, Page, assert_nothing_inline, observatory
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["/", "/pictures/add/", "/pictures/1/delete/", "/admin/gallery/picture/"])
def test_no_page_has_anything_inline(on_aws: Any, visitor: Client, address: str) -> None:
    del on_aws
    Picture.objects.bulk_create([Picture(pk=1, image="pictures/a.png", width=1, height=1, alt="A")])
    visitor.force_login(User.objects.create_superuser("root"))
    answer = visitor.get(address, secure=True)
    assert answer.status_code == 200
    assert_nothing_inline(answer)


@pytest.mark.parametrize("address", ["/", "/pictures/add/"])
def test_each_module_of_a_page_is_checked_by_the_browser(on_aws: Any, visitor: Client, address: str) -> None:
    del on_aws
    visitor.force_login(User.objects.create_user("editor", is_staff=True))
    page = Page(visitor.get(address, secure=True).content.decode())
    named = {str(script.get("src") or script.get("href")) for script in page.scripts + page.modules}
    assert all(re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", str(s.get("integrity"))) for s in page.scripts)
    assert all(re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", str(s.get("integrity"))) for s in page.modules)
    # What a module imports must be named by the page, or nobody checks it.
    folder = Path(__file__).resolve().parent.parent / "static"
    plain = {re.sub(r"\.[0-9a-f]{12}\.js$", ".js", address.split("/static/")[1]) for address in named}
    imports = {
        f"{name.rpartition('/')[0]}/{imported}"
        for name in plain
        for imported in re.findall(r"""from ["']\./([^"']+)["']""", (folder / name).read_text("utf-8"))
    }
    assert imports
    assert imports <= plain


def test_the_home_page_has_every_point_of_mozillas_observatory(on_aws: Any, visitor: Client) -> None:
    del on_aws
    home = observatory(visitor.get("/", secure=True), "www.example.com")
    assert home == BEST | {"cookies": 0}, "a visitor gets no cookie"
