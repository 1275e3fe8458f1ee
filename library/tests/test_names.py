"""The names of stored files, the requests to store them, and how long browsers cache them."""

import copy
import io
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from moto import mock_aws

from s3kit import clients
from s3kit.storages.media import MediaStorage
from s3kit.storages.names import UniqueName
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite

default_storage: Any = django_storage.default_storage

BUCKET = "a-media-bucket"
UNIQUE = "-[0-9a-hjkmnp-tv-z]{13}"
PART = 8 * 2**20
IMMUTABLE = "private, max-age=3600, immutable"


class Document(models.Model):
    """A model with two fields: `upload_to` is a folder for one, and a function for the other."""

    file = models.FileField(upload_to="files/%Y/")
    avatar = models.FileField(upload_to=lambda _document, _name: "avatars/7.png", max_length=40)

    class Meta:
        app_label = "tests"
        managed = False

    def __str__(self) -> str:
        return str(self.file)


class Requests(list[tuple[str, dict[str, str]]]):
    """The sent requests: operation and headers."""

    @property
    def operations(self) -> list[str]:
        """Return the operations, with "?" after conditional writes, and empty the list."""
        found = [operation + ("?" if "if-none-match" in headers else "") for operation, headers in self]
        self.clear()
        return found

    @property
    def cache_control(self) -> str:
        """Return a header of the last request."""
        return self[-1][1]["cache-control"]


def use(settings: Any, **options: Any) -> None:
    """Configure the default storage with these options."""
    settings.STORAGES = {
        "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": BUCKET} | options}
    }


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    clients.forget()
    yield
    clients.forget()


@pytest.fixture
def requests(settings: Any) -> Iterator[Requests]:
    """Return the requests that are sent for a bucket on a simple S3 server."""
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    use(settings)
    clients._client.cache_clear()  # with the handlers of the last test
    seen = Requests()

    def note(request: Any, event_name: str, **_kwargs: Any) -> None:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        seen.append((event_name.rpartition(".")[2], headers))

    with mock_aws():
        clients.command(default_storage.target).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        clients.web(default_storage.target).meta.events.register_first("before-send.s3", note)
        yield seen


def content_of(name: str) -> bytes:
    with default_storage.open(name) as file:
        return bytes(file.read())


# Names chosen by users


def via_model_field(name: str, content: Any) -> str:
    document = Document(file=File(content, name))
    assert Document._meta.get_field("file").pre_save(document, True) is not None
    return str(document.file.name)


def via_field_file(name: str, content: Any) -> str:
    document = Document()
    document.file.save(name, content, save=False)
    return str(document.file.name)


def without_name(name: str, content: Any) -> str:
    content.name = name
    return str(default_storage.save(None, content))


def as_uploaded_file(name: str, content: Any) -> str:
    upload = SimpleUploadedFile(name, content.read())
    return str(default_storage.save(f"files/{upload.name}", upload))


def as_uploaded_file_with_valid_name(name: str, content: Any) -> str:
    upload = SimpleUploadedFile(name, content.read())
    return str(default_storage.save(default_storage.get_valid_name(name), upload))


BY_USERS = [via_model_field, via_field_file, without_name, as_uploaded_file, as_uploaded_file_with_valid_name]


@pytest.mark.parametrize("save", BY_USERS)
def test_user_chosen_name_becomes_unique_in_one_request(
    requests: Requests, save: Callable[[str, Any], str]
) -> None:
    first, second = (save("my photo.jpg", ContentFile(content)) for content in (b"1", b"2"))
    assert requests.cache_control == IMMUTABLE
    assert requests.operations == ["PutObject"] * 2
    for name in (first, second):
        assert re.fullmatch(rf"(files/(20\d\d/)?)?my_photo{UNIQUE}\.jpg", name)
        assert type(name) is str
    assert (content_of(first), content_of(second)) == (b"1", b"2")


def test_name_from_an_upload_to_function_gets_a_random_part(requests: Requests) -> None:
    for content in (b"1", b"2"):
        document = Document()
        document.avatar.save("x.png", ContentFile(content), save=False)
        assert re.fullmatch(rf"avatars/7{UNIQUE}\.png", document.avatar.name)
    assert requests.operations == ["PutObject"] * 2


def test_generated_names_stay_unique_names_if_copied_or_shortened() -> None:
    """Packages may copy, pickle, or shorten the name that a field generates."""
    storage = MediaStorage(bucket_name=BUCKET)
    made = storage.generate_filename("a/photo.jpg")
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 -- its own bytes
    for name in (made, copy.copy(made), copy.deepcopy(made), again):
        assert isinstance(name, UniqueName)
        assert storage.get_available_name(name, 100) == made
        cut = storage.get_available_name(name, 22)
        assert re.fullmatch(rf"a/ph{UNIQUE}\.jpg", cut)
        assert isinstance(cut, UniqueName)
        assert cut.asked == name.asked == "a/photo.jpg"


def test_unpickled_generated_name_is_saved_within_max_length(requests: Requests) -> None:
    made = default_storage.generate_filename("p/" + "x" * 200 + ".jpg")
    saved = default_storage.save(pickle.loads(pickle.dumps(made)), ContentFile(b"x"), max_length=40)  # noqa: S301
    assert re.fullmatch(rf"p/x+{UNIQUE}\.jpg", saved)
    assert len(saved) == 40
    assert requests.cache_control == IMMUTABLE
    assert requests.operations == ["PutObject"]


def test_generated_name_is_used_only_once(requests: Requests) -> None:
    made = default_storage.generate_filename("a.txt")
    first, second = (default_storage.save(made, ContentFile(content)) for content in (b"1", b"2"))
    assert first == made != second
    assert re.fullmatch(rf"a{UNIQUE}\.txt", second)
    assert requests.operations == ["PutObject"] * 2
    assert content_of(first) == b"1"


# Names chosen by code


CHOSEN = [
    "cache/lake.jpg.60x40_q85.jpg",
    "CACHE/images/a/0123456789abcdef.png",
    "tmp/6f1b5d0e",
    "a b+c%41 (é) e\u0301 #?.PDF",
    ".hidden",
    "-rf",
    "__sized__/a-thumbnail-60x60.jpg",
    "사진/사진.jpg",
    "x" * 1018,
]


@pytest.mark.parametrize("name", CHOSEN)
def test_free_name_from_code_is_kept_in_one_request(requests: Requests, name: str) -> None:
    assert default_storage.save(name, ContentFile(b"x")) == name
    assert requests.cache_control == "no-cache"
    assert requests.operations == ["PutObject?"]
    assert content_of(name) == b"x"


@pytest.mark.parametrize("name", CHOSEN[:4])
def test_taken_name_from_code_gets_a_random_part(requests: Requests, name: str) -> None:
    content = io.BytesIO(b"2")
    content.read()  # rewound, as for every save
    default_storage.save(name, ContentFile(b"1"))
    saved = default_storage.save(name, File(content))
    assert saved != name
    root, dot, extension = name.rpartition(".") if "." in name else (name, "", "")
    assert re.fullmatch(re.escape(root) + UNIQUE + re.escape(dot + extension), saved)
    assert requests[-1][1]["cache-control"] == IMMUTABLE
    assert requests.operations == ["PutObject?", "PutObject?", "PutObject"]
    assert (content_of(name), content_of(saved)) == (b"1", b"2")


def test_upload_saved_under_another_name_keeps_that_name(requests: Requests) -> None:
    upload = SimpleUploadedFile("my photo.jpg", b"x")
    assert default_storage.save("avatars/7.jpg", upload) == "avatars/7.jpg"
    assert requests.operations == ["PutObject?"]


def test_name_from_code_fits_max_length_and_1024_bytes(requests: Requests) -> None:
    name = "x" * 30 + ".txt"
    assert default_storage.save(name, ContentFile(b"x"), max_length=34) == name
    for allowed in (34, 33):  # taken, or too long, which Django handles in the same way
        saved = default_storage.save(name, ContentFile(b"x"), max_length=allowed)
        assert re.fullmatch(rf"x+{UNIQUE}\.txt", saved)
        assert len(saved) == allowed
    with pytest.raises(SuspiciousFileOperation, match="exceeds S3's 1024 bytes"):
        default_storage.save("x" * 1019, ContentFile(b"x"))
    assert requests.operations == ["PutObject?"] * 2 + ["PutObject"] * 2


def large() -> io.BytesIO:
    return io.BytesIO(bytes(PART + 1))


class Stream(io.RawIOBase):
    """Bytes that can be read only once."""

    def __init__(self) -> None:
        self.left = [b"x"]

    def read(self, size: int = -1) -> bytes:
        return self.left.pop() if size and self.left else b""


@pytest.mark.parametrize(
    ("make", "options", "sent"),
    [
        (large, {}, ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]),
        (Stream, {}, ["PutObject"]),
        (lambda: io.BytesIO(b"x"), {"conditional_writes": False}, ["PutObject"]),
    ],
    ids=["in-parts", "not-seekable", "conditional-writes-off"],
)
def test_head_request_replaces_unusable_conditional_writes(
    requests: Requests, settings: Any, make: Callable[[], Any], options: dict[str, Any], sent: list[str]
) -> None:
    use(settings, **options)
    assert default_storage.save("a.bin", File(make())) == "a.bin"
    assert requests.operations == ["HeadObject", *sent]
    saved = default_storage.save("a.bin", File(make()))
    assert re.fullmatch(rf"a{UNIQUE}\.bin", saved)
    assert requests.operations == ["HeadObject", *sent]
    assert content_of(saved) == make().read()
    requests.clear()
    assert re.fullmatch(rf"a{UNIQUE}\.bin", default_storage.save(None, File(make(), "a.bin")))
    assert requests.operations == sent, "a user's name needs no HEAD request"


def reject_conditional_writes(requests: Requests, status: int, code: str, times: int = 1000) -> list[int]:
    """Reject conditional writes with a status and a code, and return the list of these rejections."""
    asked: list[int] = []

    def answer(params: Any, **_kwargs: Any) -> Any:
        if "If-None-Match" not in params["headers"] or len(asked) >= times:
            return None
        asked.append(status)
        requests.append(("PutObject", {"if-none-match": "*"}))
        error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return SimpleNamespace(status_code=status), error

    clients.web(default_storage.target).meta.events.register("before-call.s3.PutObject", answer)
    return asked


@pytest.mark.parametrize(
    ("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument"), (400, "NotImplemented")]
)
def test_server_that_rejects_conditional_writes_gets_head_requests(
    requests: Requests, caplog: pytest.LogCaptureFixture, status: int, code: str
) -> None:
    asked = reject_conditional_writes(requests, status, code)
    assert default_storage.save("a.txt", ContentFile(b"1")) == "a.txt"
    assert default_storage.save("b.txt", ContentFile(b"1")) == "b.txt"
    assert re.fullmatch(rf"a{UNIQUE}\.txt", default_storage.save("a.txt", ContentFile(b"2")))
    assert content_of("a.txt") == b"1"
    assert asked == [status], "tried only once"
    assert requests.operations[:7] == ["PutObject?", *(["HeadObject", "PutObject"] * 3)]
    (line,) = caplog.messages
    assert "Set the storage's option 'conditional_writes' to False" in line


def test_other_errors_do_not_disable_conditional_writes(requests: Requests) -> None:
    reject_conditional_writes(requests, 403, "AccessDenied", times=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        default_storage.save("a.txt", ContentFile(b"1"))
    assert default_storage.save("a.txt", ContentFile(b"1")) == "a.txt"
    assert requests.operations == ["PutObject?"] * 2


@pytest.mark.parametrize(("times", "name"), [(1, r"a\.txt"), (2, rf"a{UNIQUE}\.txt")])
def test_conflict_with_another_writer_is_retried_then_renamed(
    requests: Requests, times: int, name: str
) -> None:
    """S3 responds with 409 while another request for the key is in progress."""
    reject_conditional_writes(requests, 409, "ConditionalRequestConflict", times=times)
    assert re.fullmatch(name, default_storage.save("a.txt", ContentFile(b"1")))
    assert requests.operations == ["PutObject?"] * 2 + ["PutObject"] * (times - 1)


@pytest.mark.slow
def test_retry_after_a_lost_response_stores_one_file(s3_site: MakeSite, settings: Any) -> None:
    """The retried request finds that the first one has taken the name."""
    site = s3_site()
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", "lake", times=1, cut="after"))
        assert default_storage.save("cache/lake.jpg", ContentFile(b"x")) == "cache/lake.jpg"
        # Another process's object is not mistaken for it.
        site.root.put_object(Bucket=site.media_bucket, Key="media/cache/sea.jpg", Body=b"other")
        proxy.faults.append(Fault("PUT", "sea", times=1, cut="before"))
        saved = default_storage.save("cache/sea.jpg", ContentFile(b"x"))
        assert re.fullmatch(rf"cache/sea{UNIQUE}\.jpg", saved)
    listed = site.root.list_objects_v2(Bucket=site.media_bucket)["Contents"]
    assert [each["Key"] for each in listed] == sorted(
        ["media/cache/lake.jpg", "media/cache/sea.jpg", f"media/{saved}"]
    )


# Names from other packages


def test_name_from_get_available_name_is_kept_by_save(requests: Requests) -> None:
    """Packages request a name, then save under it."""
    for count in range(2):
        name = default_storage.get_available_name("a/b.txt")
        assert default_storage.exists(name) is False
        assert default_storage.save(name, ContentFile(b"x")) == name
        assert (name == "a/b.txt") == (count == 0)
    assert requests.operations == [
        "HeadObject",
        "HeadObject",
        "PutObject?",
        "HeadObject",
        "HeadObject",
        "PutObject",
    ]


def test_name_is_kept_if_a_package_checks_or_deletes_first(requests: Requests) -> None:
    class Replacing(MediaStorage):
        def get_available_name(self, name: str, max_length: int | None = None) -> str:  # noqa: ARG002
            self.delete(name)
            return name

    storage: Any = Replacing(bucket_name=BUCKET)
    for content in (b"1", b"2"):
        assert storage.save("a.txt", ContentFile(content)) == "a.txt"
        assert content_of("a.txt") == content
    if not default_storage.exists("b.txt"):
        assert default_storage.save("b.txt", ContentFile(b"x")) == "b.txt"
    assert "CreateMultipartUpload" not in requests.operations


def test_subclass_can_override_alternative_and_valid_names(requests: Requests) -> None:
    class Mine(MediaStorage):
        def get_alternative_name(self, file_root: str, file_ext: str) -> str:
            return f"{file_root}.{next(numbers)}{file_ext}"

        def get_valid_name(self, name: str) -> str:
            return super().get_valid_name(name).lower()

    numbers = iter(range(100))
    storage: Any = Mine(bucket_name=BUCKET)
    assert re.fullmatch(r"a\.\d+\.jpg", storage.save(None, ContentFile(b"x", "A.JPG")))
    assert storage.save("A.JPG", ContentFile(b"x")) == "A.JPG"
    assert re.fullmatch(r"A\.\d+\.JPG", storage.save("A.JPG", ContentFile(b"x")))
    assert requests.operations == ["PutObject", "PutObject?", "PutObject?", "PutObject"]


def test_file_overwrite_applies_to_every_name(requests: Requests, settings: Any) -> None:
    use(settings, file_overwrite=True)
    for content in (b"1", b"2"):
        document = Document(file=ContentFile(content, "my photo.jpg"))
        Document._meta.get_field("file").pre_save(document, True)
        assert re.fullmatch(r"files/20\d\d/my_photo\.jpg", document.file.name)
        assert content_of(document.file.name) == content
        assert default_storage.save(None, ContentFile(content, "a.txt")) == "a.txt"
        assert default_storage.save("b.txt", SimpleUploadedFile("b.txt", content)) == "b.txt"
        assert default_storage.save("c.txt", File(io.BytesIO(content))) == "c.txt"
        assert content_of("c.txt") == content
        assert default_storage.save("large.bin", File(large())) == "large.bin"
    caches = {headers["cache-control"] for _, headers in requests if "cache-control" in headers}
    assert caches == {"no-cache"}
    assert not [each for each in requests.operations if each.endswith("?")]


# Caching


def cached(requests: Requests, save: Callable[[], Any]) -> str:
    requests.clear()
    save()
    (found,) = {headers["cache-control"] for _, headers in requests if "cache-control" in headers}
    return str(found)


def opened_for_writing() -> None:
    for version in (b"1", b"2"):
        with default_storage.open("feeds/products.xml", "w") as feed:
            feed.write(version)
        assert content_of("feeds/products.xml") == version


def saved_under_a_chosen_name() -> None:
    default_storage.delete("cache/a.jpg")
    assert default_storage.save("cache/a.jpg", ContentFile(b"x")) == "cache/a.jpg"


def saved_under_a_generated_string() -> None:
    name = default_storage.generate_filename("a.jpg")
    assert default_storage.save(str(name), ContentFile(b"x")) == name


def uploaded_in_parts() -> None:
    default_storage.delete("a.mp4")
    default_storage.save("a.mp4", File(large()))


@pytest.mark.parametrize(
    "save", [opened_for_writing, saved_under_a_chosen_name, saved_under_a_generated_string, uploaded_in_parts]
)
def test_named_max_age_sets_caching_of_names_from_code(
    requests: Requests, settings: Any, save: Callable[[], Any]
) -> None:
    for access in ("private", "public-policy", "public-read"):
        use(settings, access=access)
        assert cached(requests, save) == "no-cache"
    settings.AWS_MEDIA_NAMED_MAX_AGE = 7200
    assert cached(requests, save) == "public, max-age=7200"
    use(settings)
    assert cached(requests, save) == "private, max-age=3600", "no longer than its link"
    use(settings, named_max_age=60)
    assert cached(requests, save) == "private, max-age=60"


@pytest.mark.parametrize("wrong", [-1, 31_536_001, "60", True])
def test_invalid_named_max_age_is_rejected(wrong: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"'named_max_age' is {wrong!r}: set it to 0 to 31536000"):
        MediaStorage(bucket_name=BUCKET, named_max_age=wrong)


def test_download_has_the_requested_name(requests: Requests) -> None:
    def shown() -> str:
        return requests[-1][1]["content-disposition"]

    default_storage.save(None, ContentFile(b"x", "report.csv"))
    assert shown() == 'attachment; filename="report.csv"'
    for _ in range(2):  # with its name, then with another name
        default_storage.save("invoice-2026110512345.csv", ContentFile(b"x"))
        assert shown() == 'attachment; filename="invoice-2026110512345.csv"'


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg",
        "a/../../b.jpg",
        "/a.jpg",
        "\\a.jpg",
        "a\\..\\b.jpg",
        "..",
        "a/..",
        "",
        "a/",
        ".",
        "a\ud800",
    ],
)
def test_save_rejects_unsafe_paths_as_str_and_path(requests: Requests, name: str) -> None:
    for save in (default_storage.save, lambda name, content: default_storage.save(Path(name), content)):
        if save is not default_storage.save and os.fspath(Path(name)) != name:
            continue
        with pytest.raises(SuspiciousFileOperation):
            save(name, ContentFile(b"x"))
    assert not requests.operations
