"""Follow docs/adopt.md and its two companions: three sites move, and visitors' requests work at each step."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from storages.backends.s3 import S3Storage

from s3kit import options
from s3kit.deployment import Key
from s3kit.local.server import LocalServer
from s3kit.storages import MediaStorage
from tests.ministack import REGION, Answer, anonymous, new_user, root_client
from tests.new_sites import Block, Install, NewSite, blocks
from tests.processes import ROOT, Started, free_port, until

PAGE, COPY, FROM_DISK = (
    (ROOT.parent / "docs" / f"{name}.md").read_text("utf-8")
    for name in ("adopt", "copy-uploads", "adopt-whitenoise")
)
MANAGE = "python manage.py "
# For commands that don't change buckets.
ROLES = {"collectstatic": "deploy", "doctor": "web", "push": "web"}

MODELS = """from storages.backends.s3boto3 import S3Boto3Storage
from django.db import models
from mysite.storages import AvatarStorage


class Photo(models.Model):
    image = models.FileField(upload_to="photos")


class Avatar(models.Model):
    image = models.FileField(storage=AvatarStorage(), upload_to="users")


class Scan(models.Model):
    scan = models.FileField(storage=S3Boto3Storage(location="media"), upload_to="scans")
"""

# One page with the names and links of all uploads, and a style sheet. A POST uploads a file.
URLS = """from django.apps import apps
from django.conf import settings
from django.http import JsonResponse
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.static import serve


@csrf_exempt
def page(request):
    shelf = {model.__name__.lower(): model for model in apps.get_app_config("shelf").get_models()}
    for name, file in request.FILES.items():
        model = shelf[name]
        model.objects.create(**{model._meta.fields[1].name: file})
    found = {}
    for name, model in shelf.items():
        for row in model.objects.order_by("pk"):
            file = getattr(row, model._meta.fields[1].name)
            found.setdefault(name, []).append([file.name, file.url])
    return JsonResponse(found | {"css": static("site.css")})


urlpatterns = [
    path("", page),
    re_path(r"^media/(?P<path>.*)$", serve, {"document_root": settings.MEDIA_ROOT}),
]
"""

MODELS_OF_PHOTOS = """from django.db import models


class Photo(models.Model):
    image = models.FileField(upload_to="photos")
"""

SETTINGS = """
import os
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["shelf", *(each for each in INSTALLED_APPS if each != "django.contrib.admin")]
STATICFILES_DIRS = [BASE_DIR / "assets"]
"""
# The S3 endpoint, which only the test knows.
ENDPOINT = '\nAWS_S3_ENDPOINT_URL = os.environ.get("TEST_ENDPOINT")\n'


def hunks(diff: str) -> list[tuple[str, str, str]]:
    """Return the parts of a diff: the file, and its lines before and after. The default file is the settings."""
    found, file = [], "mysite/settings.py"
    for part in re.split(r"^@@", f"\n{diff}" if diff.startswith("@@") else f"@@\n{diff}", flags=re.MULTILINE):
        name, _, lines = part.partition("\n")
        file = name.strip() or file
        old, new = (
            "".join(line[1:] for line in lines.splitlines(keepends=True) if line[0] in {mark, " "})
            for mark in "-+"
        )
        if old or new:
            found.append((file, old, new))
    return found


def old_file(section: str, name: str) -> str:
    """Return a file's original content from a section's diffs, with empty lines between the parts."""
    diffs = [block.code for block in section_blocks(section) if block.language == "diff"]
    return "\n\n".join(old for diff in diffs for file, old, _ in hunks(diff) if file == name)


@dataclass
class Adoption:
    """A site that follows a section step by step. `todo` contains the section's remaining blocks."""

    site: NewSite
    store: LocalServer
    names: str
    """The prefix of the buckets' names, where the page has "acme"."""
    todo: list[Block]
    processes: list[Started]
    admin: Key
    keys: dict[str, Key] = field(default_factory=dict)
    """By role."""

    def localize(self, text: str) -> str:
        """Return a text from the page with this test's bucket names and the old key."""
        text = text.replace("AKIA...", self.admin.id).replace('KEY = "..."', f'KEY = "{self.admin.secret}"')
        return text.replace("acme-", f"{self.names}-")

    def next(self, language: str) -> str:
        block = self.todo.pop(0)
        assert block.language == language, block
        return self.localize(block.code)

    def change(self) -> str:
        """Apply the next diff to the site's files, and return it."""
        diff = self.next("diff")
        for file, old, new in hunks(diff):
            self.replace(old, new, file)
        return diff

    def undo(self, diff: str) -> None:
        for file, old, new in hunks(diff):
            self.replace(new, old, file)

    def replace(self, old: str, new: str, file: str = "mysite/settings.py") -> None:
        path = self.site.folder / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1, (old, text)
        path.write_text(text.replace(old, new), "utf-8")

    def run(self, **expect: int) -> list[str]:
        """Run the commands of the next block, and return their output. `expect` contains exit codes other than 0."""
        lines = [line for line in self.next("sh").splitlines() if not line.startswith("# ")]
        return [self.command(line, **expect) for line in lines]

    def command(self, line: str, **expect: int) -> str:
        line, _, out = line.partition(" > ")
        words = shlex.split(line)
        code = next((code for word, code in expect.items() if word in words), 0)
        role = next((role for word, role in ROLES.items() if word in words and role in self.keys), "")
        variables = self.variables(self.keys.get(role, self.admin))
        if words[0] == "aws":
            tool = str(self.site.python.parent / "aws")
            ran = Started(*words[1:], command=[tool], cwd=self.site.folder, **variables)
        else:
            assert line.startswith(MANAGE)
            words += ["--no-input"] if "apply" in words else []
            ran = self.site.manage(*words[2:], **variables)
        assert ran.ended() == code, (line, ran.output)
        if out:
            (self.site.folder / out).write_text(ran.output, "utf-8")
        if "policy" in words:
            self.keys[words[-1]] = new_user(self.store, json.loads(ran.output))
        return ran.output

    def variables(self, key: Key) -> dict[str, str]:
        found = {
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "TEST_ENDPOINT": self.store.endpoint,
        }
        return found | {
            "AWS_ENDPOINT_URL": self.store.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
        }

    def serve(self, key: Key | None = None) -> "Server":
        """Start a server for the current site, with a role's key or the old site's key."""
        port = free_port()
        process = self.site.manage("runserver", "--noreload", port, **self.variables(key or self.admin))
        self.processes.append(process)
        server = Server(self, f"http://127.0.0.1:{port}", process)
        until(server.is_up)
        return server

    def get(self, url: str) -> Answer:
        """Request a URL as a visitor does. AWS's hosts resolve to the local server."""
        url = re.sub(r"^https://([\w-]+)\.s3\.amazonaws\.com", rf"{self.store.endpoint}/\1", url)
        return anonymous(url)

    def is_open(self, bucket: str, key: str) -> bool:
        """Return whether everyone can read an object through its unsigned URL."""
        status = anonymous(f"{self.store.endpoint}/{self.names}-{bucket}/{key}").status
        assert status in {200, 403}, (key, status)
        return status == 200

    def put(self, key: str, body: bytes, **more: Any) -> None:
        root_client(self.store).put_object(Bucket=f"{self.names}-files", Key=key, Body=body, **more)


@dataclass
class Server:
    """A running server of the site."""

    adoption: Adoption
    address: str
    process: Started

    def is_up(self) -> bool:
        assert self.process.process.poll() is None, self.process.output
        with suppress(OSError):
            return anonymous(f"{self.address}/").status == 200
        return False

    def page(self) -> dict[str, Any]:
        return dict(json.loads(anonymous(f"{self.address}/").body))

    def upload(self, kind: str, name: str, content: bytes = b"new") -> str:
        """Upload a file with a form, and return the name in the row."""
        body = (
            f'--x\r\nContent-Disposition: form-data; name="{kind}"; filename="{name}"\r\n'
            f"Content-Type: image/jpeg\r\n\r\n{content.decode()}\r\n--x--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        got = anonymous(f"{self.address}/", "POST", headers, body.encode())
        assert got.status == 200, (got.body, self.process.output)
        return str(json.loads(got.body)[kind][-1][0])

    def link(self, name: str) -> str:
        rows = [row for rows in self.page().values() if isinstance(rows, list) for row in rows]
        (url,) = {url for each, url in rows if each == name}
        return str(url)

    def shows(self) -> bool:
        """Return whether a visitor can load the style sheet and all uploads."""
        page = self.page()
        for url in (page.pop("css"), *(url for rows in page.values() for _, url in rows)):
            got = self.adoption.get(url if "//" in url else f"{self.address}{url}")
            assert got.status == 200, (url, got, self.process.output)
        return True


@pytest.fixture(scope="module")
def python(install: Install) -> Path:
    """Return a Python with the library, django-storages, WhiteNoise, and the AWS CLI."""
    found = install("3.12", "6.1")
    constraints = ROOT.parent / "tests" / "constraints.txt"
    command = ["uv", "pip", "install", "--quiet", "--python", found, "--constraints", constraints]
    subprocess.run([*command, "whitenoise"], check=True)
    subprocess.run([*command[:-2], "awscli>=1.46,<2"], check=True)
    return found


@pytest.fixture
def adopt(
    python: Path, store: LocalServer, tmp_path: Path, bucket_name: str, started_processes: list[Started]
) -> Any:
    """Return a function that creates the site as it is before a section of the page."""

    def made(section: str, models: str, settings: str = "") -> Adoption:
        subprocess.run([python, "-m", "django", "startproject", "mysite", tmp_path], check=True)
        site = NewSite(tmp_path, python)
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}  # AmazonS3FullAccess
        admin = new_user(store, {"Version": "2012-10-17", "Statement": [everything]})
        found = Adoption(site, store, bucket_name, section_blocks(section), started_processes, admin)
        text = site.settings.read_text("utf-8").replace("'", '"').replace("DEBUG = True\n", "")
        before = settings or old_file(section, "mysite/settings.py")
        site.settings.write_text(found.localize(text + SETTINGS + before + ENDPOINT), "utf-8")
        for name, content in {
            "mysite/urls.py": URLS,
            "shelf/__init__.py": "",
            "shelf/models.py": models,
            "assets/site.css": "body { margin: 0 }",
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content, "utf-8")
        return found

    return made


def section_blocks(heading: str) -> list[Block]:
    """Return the blocks under a heading of the page, without subsections, or those of another page."""
    if others := {"Copy uploads to a new bucket": COPY, "From WhiteNoise": FROM_DISK}.get(heading):
        return blocks(others)
    parts = re.split(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)
    return blocks(dict(zip(parts[1::2], parts[2::2], strict=True))[heading])


def begin(move: Adoption) -> None:
    """Follow the steps that all sites start with."""
    (diff, _policies) = section_blocks("Before you start")
    move.todo.insert(0, diff)
    move.change()


def get_keys(move: Adoption, roles: str = "web deploy") -> None:
    """Create the new users, with the policies that the page's commands print for the current settings."""
    (_diff, policies) = section_blocks("Before you start")
    for line in policies.code.splitlines():
        if line.rpartition(" ")[2] in roles:
            move.command(line)


def acl_bucket(move: Adoption, *, policy: bool = False) -> None:
    """Create a bucket as tutorials do: ACLs enabled, and nothing blocked."""
    s3, name = root_client(move.store), f"{move.names}-files"
    s3.create_bucket(
        Bucket=name, ObjectOwnership="ObjectWriter", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    s3.delete_public_access_block(Bucket=name)
    if policy:
        everyone = {
            "Sid": "PublicReadGetObject",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
        }
        statement = everyone | {"Resource": f"arn:aws:s3:::{name}/*"}
        s3.put_bucket_policy(
            Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )


def commands(move: Adoption, *lines: str) -> None:
    for line in lines:
        move.command(f"{MANAGE}{line}")


@pytest.mark.slow
def test_move_from_django_storages(adopt: Any) -> None:
    move = adopt("From django-storages", MODELS)
    storages = old_file("From django-storages", "mysite/storages.py")
    (move.site.folder / "mysite" / "storages.py").write_text(storages, "utf-8")
    acl_bucket(move)
    commands(move, "makemigrations shelf", "migrate", "collectstatic --no-input")
    old = move.serve()
    assert old.upload("photo", "lake.jpg") == "photos/lake.jpg"
    assert old.upload("avatar", "me.jpg") == "users/me.jpg"
    assert old.upload("scan", "page.pdf") == "scans/page.pdf"
    assert old.shows()
    before = old.page()

    begin(move)
    changed = move.change()
    get_keys(move)
    move.run(plan=2)
    (made,) = (move.site.folder / "shelf" / "migrations").glob("0002_*.py")
    assert re.findall(r"model_name='(\w+)'", made.read_text("utf-8")) == ["scan"]
    assert old.shows()  # with the current buckets
    assert old.upload("avatar", "you.jpg") == "users/you.jpg"
    assert not move.todo

    new = move.serve(move.keys["web"])
    for server in (new, old):
        assert server.shows()
        page = server.page()
        for kind in ("photo", "avatar", "scan"):
            assert page[kind][0][0] == before[kind][0][0]
    photo, avatar = new.upload("photo", "lake.jpg"), new.upload("avatar", "me.jpg")
    assert re.fullmatch(r"photos/lake-[0-9a-z]{13}\.jpg", photo)
    for name in ("photos/lake.jpg", "scans/page.pdf", photo):
        assert not move.is_open("files", f"media/{name}"), name
    for name in ("users/me.jpg", "users/you.jpg", avatar):
        assert move.is_open("files", f"avatars/{name}"), name
    assert old.shows()

    move.undo(changed)
    made.unlink()  # the old release doesn't contain it
    again = move.serve()
    assert again.shows()
    assert again.upload("avatar", "we.jpg") == "users/we.jpg"
    assert again.shows()


@pytest.mark.slow
def test_move_from_one_public_bucket(adopt: Any) -> None:
    move = adopt("From one public bucket", MODELS_OF_PHOTOS)
    acl_bucket(move, policy=True)
    commands(move, "migrate --run-syncdb", "collectstatic --no-input")
    old = move.serve()
    first = old.upload("photo", "lake.jpg")
    assert old.shows()
    plain = [f"media/{first}", "static/site.css"]
    assert all(move.is_open("files", key) for key in plain)

    # 1. Install the library; everything stays public.
    begin(move)
    public = move.change()
    get_keys(move)
    _, applied, _ = move.run(plan=2, apply=1)
    (conflict,) = re.findall(r"`! (conflict: .+?)`", PAGE)
    assert move.localize(conflict) in " ".join(applied.split())
    assert json.loads((move.site.folder / "before.json").read_text("utf-8"))
    new = move.serve(move.keys["web"])
    second = new.upload("photo", "lake.jpg")
    third = old.upload("photo", "pond.jpg")
    plain += [f"media/{second}", f"media/{third}"]
    for server in (old, new):
        assert server.shows()
    assert new.link(first).endswith(f"{move.names}-files/media/{first}")
    assert all(move.is_open("files", key) for key in plain)

    # 2. Signed links; unsigned links still work.
    public_read = ', "OPTIONS": {"access": "public-read"}'
    move.replace(public_read, "")
    newer = move.serve(move.keys["web"])
    fourth = newer.upload("photo", "sea.jpg")
    for server in (old, new, newer):
        assert server.shows()
    assert "X-Amz-Signature=" in newer.link(first)
    assert all(move.is_open("files", key) for key in plain)

    # 3. Make uploads private.
    counted, done, closed, found = move.run()
    assert "3 to set to private" in counted
    assert "3 set to private" in done
    assert "PublicReadGetObject" in closed
    assert newer.shows()
    assert not any(move.is_open("files", key) for key in [*plain, f"media/{fourth}"])
    assert not move.is_open("files", f"media/{newer.upload('photo', 'hill.jpg')}")
    assert "not ok" not in found

    # Static files in the old bucket.
    assert not move.is_open("files", "static/site.css")
    static = [f'"bucket_name": "{move.names}-{each}"' for each in ("static", "files")]
    move.replace(*static)
    commands(move, "s3 apply")
    assert move.is_open("files", "static/site.css")
    assert not move.is_open("files", plain[0])
    move.replace(*reversed(static))

    # Undo step 3, and then return to the old site.
    before = '"default": {"BACKEND": "s3kit.storages.MediaStorage"'
    move.replace(before, f"{before}{public_read}")
    assert not move.todo
    commands(move, "s3 apply", "s3 access")
    assert move.serve(move.keys["web"]).shows()
    assert all(move.is_open("files", key) for key in [*plain, f"media/{fourth}"])
    move.undo(public)
    again = move.serve()
    assert again.upload("photo", "lake.jpg")
    assert again.shows()


SAVED = "from django.core.files.storage import default_storage as s; print('LINK', s.url('photos/a.png'))"
OLD_BUCKET = """
AWS_S3_REGION_NAME = "eu-central-1"
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "acme-files"}},
    "staticfiles": {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": {"bucket_name": "acme-static"}},
}
"""


@pytest.mark.slow
def test_copy_uploads_to_a_new_bucket(adopt: Any) -> None:
    move = adopt("Copy uploads to a new bucket", MODELS_OF_PHOTOS, OLD_BUCKET)
    begin(move)
    acl_bucket(move)
    old = {"photos/a.png": b"picture", "photos/b.html": b"page", "static/site.css": b"style"}
    for key, body in old.items():
        move.put(key, body, ACL="public-read", ContentType="text/html")
    move.change()
    get_keys(move)
    move.run()

    def got(key: str) -> tuple[bytes, str, str]:
        found = root_client(move.store).get_object(Bucket=f"{move.names}-media", Key=key)
        return (
            found["Body"].read(),
            found["ContentType"],
            found.get("ContentDisposition", "").partition(";")[0],
        )

    while move.todo:
        way = move.todo[0].code
        move.run()
        link = move.command(f'{MANAGE}shell -v 0 -c "{SAVED}"').rpartition("LINK ")[2].strip()
        assert move.get(link).body == b"picture"
        assert got("media/photos/a.png")[:2] == (b"picture", "image/png"), way
        assert got("media/photos/b.html") == (b"page", "application/octet-stream", "attachment"), way
        assert not move.is_open("media", "media/photos/a.png")
        listed = root_client(move.store).list_objects_v2(Bucket=f"{move.names}-media")["Contents"]
        assert len(listed) == 2
        for each in listed:
            root_client(move.store).delete_object(Bucket=f"{move.names}-media", Key=each["Key"])


WHITENOISE = """
MEDIA_ROOT = BASE_DIR / "media"
MEDIA_URL = "media/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
"""
SECURITY = '    "django.middleware.security.SecurityMiddleware",\n'


@pytest.mark.slow
def test_move_from_whitenoise_and_uploads_on_disk(adopt: Any) -> None:
    move = adopt("From WhiteNoise", MODELS_OF_PHOTOS, WHITENOISE)
    settings = move.site.settings
    text = settings.read_text("utf-8")
    middleware = '    "whitenoise.middleware.WhiteNoiseMiddleware",\n'
    settings.write_text(text.replace(SECURITY, f"{SECURITY}{middleware}"), "utf-8")
    commands(move, "migrate --run-syncdb", "collectstatic --no-input")
    old = move.serve()
    first = old.upload("photo", "lake.jpg")
    assert first == "photos/lake.jpg"
    assert old.shows()

    # 1. Move the uploads.
    begin(move)
    media = move.change()
    get_keys(move, "web")
    _, tried, pushed = move.run()
    assert "1 to upload" in tried
    assert "1 uploaded" in pushed
    late = old.upload("photo", "pond.jpg", b"late")
    commands(move, "collectstatic --no-input")
    new = move.serve(move.keys["web"])
    verified = move.command(f"{MANAGE}s3 push --verify")
    assert "1 uploaded, 1 unchanged, 2 read back and the same" in verified
    assert new.shows()
    assert new.page()["css"] == old.page()["css"]
    assert move.get(new.link(late)).body == b"late"
    assert "X-Amz-Signature=" in new.link(first)
    assert not move.is_open("media", f"media/{first}")
    assert anonymous(f"{new.address}/media/{first}").status == 200  # the folder, for everyone
    second = new.upload("photo", "sea.jpg", b"sea")
    move.change()
    closed = move.serve(move.keys["web"])
    assert anonymous(f"{closed.address}/media/{first}").status == 403  # for staff
    assert closed.shows()

    # Return to uploads on disk.
    (line,) = re.findall(r"`(aws s3 sync [^`]+)`", FROM_DISK)
    move.command(move.localize(line))
    move.undo(media)
    back = move.serve()
    assert anonymous(f"{back.address}{back.page()['css']}").status == 200
    file = move.site.folder / "media" / second
    assert file.read_bytes() == b"sea"

    # 2. Move the static files.
    for old_line, new_line in [(old, new) for _, old, new in hunks(media)]:
        move.replace(old_line, new_line)
    (move.site.folder / "Dockerfile").write_text(old_file("From WhiteNoise", "Dockerfile"), "utf-8")
    static = move.change()
    built = (move.site.folder / "Dockerfile").read_text("utf-8")
    (line,) = re.findall(r"^RUN python manage\.py (.+)$", built, re.MULTILINE)
    move.site.run(*line.split())  # without credentials or S3
    assert (move.site.folder / "staticfiles.json").is_file()
    get_keys(move)
    move.run()
    assert not move.todo
    last = move.serve(move.keys["web"])
    css = last.page()["css"]
    assert css.startswith(f"{move.store.endpoint}/{move.names}-static/static/site.")
    assert last.shows()
    assert closed.shows()  # with WhiteNoise, until it ends
    move.undo(static)
    again = move.serve(move.keys["web"])
    assert again.page()["css"] == closed.page()["css"]
    assert again.shows()


# django-storages' options


def rows() -> Iterator[tuple[list[str], str]]:
    """Yield the names in each row of the table of options, and the row's text."""
    lines = PAGE.partition("| option | here |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    for line in lines:
        given, here = line.strip("| ").split(" | ")
        yield re.findall(r"`(\w+)`", given), here


LISTED = [name for given, here in rows() for name in given if here.startswith("rejected: ")]
OBEYED = [name for given, here in rows() for name in given if name not in LISTED]
REJECTED = [each.name for each in options.REJECTIONS]


def test_every_option_of_django_storages_is_supported_or_rejected() -> None:
    theirs = {*S3Storage().get_default_settings(), "cloudfront_signer"}
    assert sorted(OBEYED) == sorted(theirs & options.known("media").keys())
    assert {*LISTED} < {*REJECTED}
    assert {*OBEYED, *REJECTED} == theirs


def test_options_listed_as_the_same_have_equal_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    theirs, ours = S3Storage().get_default_settings(), options.known("media")
    defaults = {name: (ours[name].default_for("media") or None, theirs[name] or None) for name in OBEYED}
    (same,) = (given for given, here in rows() if here == "the same")
    assert {name for name, (one, other) in defaults.items() if one != other} == {"location", "file_overwrite"}
    assert all(defaults[name][0] == defaults[name][1] for name in same)


@pytest.mark.parametrize("name", REJECTED)
def test_unsupported_options_raise(name: str) -> None:
    value = False if name == "querystring_auth" else "other"
    with pytest.raises(ImproperlyConfigured, match=name):
        MediaStorage(bucket_name="acme-media", **{name: value})


def test_every_code_block_belongs_to_a_tested_section() -> None:
    """A test above follows each of these sections to its end."""
    followed = [
        "Before you start",
        "From django-storages",
        "From one public bucket",
        "Copy uploads to a new bucket",
        "From WhiteNoise",
    ]
    assert sum(len(section_blocks(each)) for each in followed) == f"{PAGE}{COPY}{FROM_DISK}".count("\n```\n")


def test_page_has_at_most_220_lines() -> None:
    assert len(PAGE.splitlines()) <= 220
