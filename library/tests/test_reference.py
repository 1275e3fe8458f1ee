"""The reference in the documentation is that of the code, and knows every option of django-storages."""

from storages.backends.s3 import S3Storage

from s3kit.options import OPTIONS, REJECTIONS
from tests.reference import PAGE, page


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.reference` in library/"


def test_every_option_of_django_storages_is_obeyed_or_rejected() -> None:
    known = {option.name for option in OPTIONS} | {each.name for each in REJECTIONS}
    assert S3Storage.get_default_settings(S3Storage.__new__(S3Storage)).keys() <= known
