"""`manage.py s3 prune` deletes objects that no page uses any more, and nothing else, even during a deploy.

The proxy makes objects look older (`FaultProxy.aged`).
"""

import io
import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command

from s3kit.buckets import policies
from s3kit.deployment import Deployment
from s3kit.publishing import history, prune
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user, s3_storages

pytestmark = pytest.mark.slow

PREFIX = "static/"
MANIFEST = f"{PREFIX}staticfiles.json"
MARKERS = PREFIX + history.MARKERS
A = {"site.css": b"a { color: red }", "logo.png": b"the old logo", "gone.txt": b"only in A"}
B = {"site.css": b"b { color: blue }", "logo.png": b"the new logo"}
C = {"site.css": b"c { color: green }", "logo.png": b"the new logo", "more.txt": b"only in C"}


@dataclass
class House:
    """A site whose static files are deployed repeatedly from a source tree."""

    site: SiteOnS3
    proxy: FaultProxy
    sources: Path
    first_copy: str = ""

    def write(self, tree: dict[str, bytes]) -> None:
        """Replace the source tree."""
        shutil.rmtree(self.sources)
        for name, content in tree.items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def deploy(self, tree: dict[str, bytes]) -> str:
        """Deploy a source tree, and return the last line."""
        self.write(tree)
        out = io.StringIO()
        call_command("collectstatic", interactive=False, stdout=out)
        return out.getvalue().strip()

    def pass_days(self, days: int) -> None:
        """Make everything in the bucket this many days older."""
        for key in self.names():
            path = f"/{self.site.static_bucket}/{key}"
            self.proxy.aged[path] = self.proxy.aged.get(path, 0) + days

    def methods(self) -> list[str]:
        """Return the methods of the requests, after waiting until the last one is recorded."""
        while self.proxy.busy:
            time.sleep(0.005)
        return [request.method for request in self.proxy.requests]

    def forget(self) -> None:
        self.methods()
        self.proxy.clear()

    def names(self) -> set[str]:
        pages = self.site.root.get_paginator("list_objects_v2").paginate(Bucket=self.site.static_bucket)
        return {each["Key"] for page in pages for each in page.get("Contents", ())}

    def copies(self) -> list[str]:
        return sorted(filter(hash_in, self.names()))

    def markers(self) -> set[str]:
        return {key for key in self.names() if history.is_marker(key.removeprefix(PREFIX))}

    def prune(self, *arguments: str) -> dict[str, Any]:
        """Prune successfully, and return the JSON output."""
        out = io.StringIO()
        call_command("s3", "prune", "--json", *arguments, stdout=out, stderr=io.StringIO())
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def text(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command("s3", "prune", *arguments, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    def fails(self, *arguments: str) -> str:
        with pytest.raises(CommandError) as raised:
            self.text(*arguments)
        assert raised.value.returncode == 1
        return str(raised.value)

    def live(self) -> dict[str, str]:
        answer = anonymous(self.site.url(self.site.static_bucket, MANIFEST))
        assert answer.status == 200
        return dict(json.loads(answer.body)["paths"])

    def check(self, tree: dict[str, bytes], *, plain: bool = True) -> None:
        """Check that a tree is live, with all its files, and their plain names unless disabled."""
        paths = self.live()
        assert set(paths) == set(tree)
        for name, hashed in paths.items():
            for stored in (name, hashed) if plain else (hashed,):
                answer = anonymous(self.site.url(self.site.static_bucket, f"static/{stored}"))
                assert (answer.status, answer.body) == (200, tree[name]), stored


def roles(*names: str) -> list[dict[str, Any]]:
    """Return the policies of the site's roles, by default `deploy` and `prune`."""
    site = Deployment.load()
    return [policies.document(policies.ROLES[name](site)) for name in names or ("deploy", "prune")]


@pytest.fixture
def house(s3_site: MakeSite, act_as: ActAs, settings: Any, tmp_path: Path) -> Iterator[House]:
    site = s3_site()
    act_as(new_user(site.store, *roles()))
    sources = tmp_path / "sources"
    sources.mkdir()
    settings.STATICFILES_DIRS = [sources]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        yield House(site, proxy, sources)


def hash_in(key: str) -> str:
    """Return the hash in the key of a manifest copy, and "" for other keys."""
    return history.hash_in(key.removeprefix(PREFIX))


def only_in(old: dict[str, str], new: dict[str, str]) -> set[str]:
    """Return the keys of a manifest's hashed objects that are not in another manifest."""
    return {f"static/{name}" for name in set(old.values()) - set(new.values())}


# Manifest copies


def test_deploy_stores_a_manifest_copy_before_going_live(house: House) -> None:
    house.deploy(A)
    (first,) = house.copies()
    root, bucket = house.site.root, house.site.static_bucket
    there = root.get_object(Bucket=bucket, Key=first)
    assert there["Body"].read() == root.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read()
    assert there["Metadata"] == {"replaces": "none"}
    puts = [r.path.partition("/static/")[2] for r in house.proxy.matching("PUT")]
    assert puts[-2:] == [first.removeprefix("static/"), "staticfiles.json"]

    house.deploy(A)
    assert house.copies() == [first], "an unchanged deploy writes nothing"
    house.deploy(B)
    (second,) = set(house.copies()) - {first}
    metadata = root.head_object(Bucket=bucket, Key=second)["Metadata"]
    assert metadata == {"replaces": hash_in(first)}


def test_deploy_copies_a_live_manifest_that_has_no_copy(house: House) -> None:
    house.deploy(A)
    lose_copies(house)
    house.pass_days(40)
    house.deploy(B)
    first, second = house.copies()
    root, bucket = house.site.root, house.site.static_bucket
    paths = json.loads(root.get_object(Bucket=bucket, Key=first)["Body"].read())["paths"]
    assert set(paths) == set(A)
    assert "since" in root.head_object(Bucket=bucket, Key=first)["Metadata"]
    assert root.head_object(Bucket=bucket, Key=second)["Metadata"] == {"replaces": hash_in(first)}
    house.pass_days(40)
    house.deploy(C)
    assert len(house.copies()) == 3


def lose_copies(house: House) -> None:
    for key in house.copies():
        house.site.root.delete_object(Bucket=house.site.static_bucket, Key=key)


# Deleted objects


def test_prune_without_delete_only_lists_objects(house: House) -> None:
    house.deploy(A)
    old = house.live()
    (copy,) = house.copies()
    house.pass_days(10)
    house.deploy(B)
    new = house.live()
    house.pass_days(31)
    before = house.names()
    house.forget()
    text = house.text("--keep", "1")
    assert {r.method for r in house.proxy.requests} == {"GET"}
    assert house.names() == before
    going = only_in(old, new) | {"static/gone.txt", copy}
    assert set(re.findall(r"^ +[0-9,]+  \d{4}-\d\d-\d\d  (.+)$", text, re.MULTILINE)) == going
    root, bucket = house.site.root, house.site.static_bucket
    size = sum(root.head_object(Bucket=bucket, Key=key)["ContentLength"] for key in going)
    assert f"\n{len(going)} objects to remove, {size:,} bytes. To remove them, add --delete." in text
    assert house.prune("--keep", "1", "--delete")["removed_bytes"] == size
    assert house.names() == before - going
    house.check(B)


def test_prune_keeps_files_of_manifests_that_were_live_within_days(house: House) -> None:
    house.deploy(A)
    a = house.live()
    house.pass_days(5)
    house.deploy(B)
    b = house.live()
    house.pass_days(35)
    house.deploy(C)
    c = house.live()
    # A was replaced 35 days ago, B just now: a page of B may still be open somewhere.
    found = house.prune("--keep", "1", "--delete")
    assert found["removed"] == len(found["found"]) == len(only_in(a, b)) + 2
    assert only_in(b, c) <= house.names()
    house.check(C)
    house.pass_days(29)
    assert not house.prune("--keep", "1", "--delete")["found"]
    house.pass_days(2)
    assert not house.prune("--keep", "2", "--delete")["found"]
    found = house.prune("--keep", "1", "--delete")
    assert {each["key"] for each in found["found"]} == only_in(b, c) | {found["found"][0]["key"]}
    assert len(house.copies()) == 1
    house.check(C)


def test_keep_protects_the_latest_manifests_of_any_age(house: House) -> None:
    trees = [A, B, C]
    paths = []
    for tree in trees:
        house.deploy(tree)
        paths.append(house.live())
        house.pass_days(100)
    assert not house.prune("--keep", "3")["found"]
    house.prune("--keep", "2", "--delete")
    assert {f"static/{name}" for each in paths[1:] for name in each.values()} <= house.names()
    assert not only_in(paths[0], paths[1]) & house.names()


def test_keep_counts_deploys_not_distinct_manifests(house: House) -> None:
    house.deploy(A)
    house.pass_days(50)
    house.deploy(B)
    house.pass_days(50)
    time.sleep(1)  # the copy's name has seconds
    house.deploy(A)
    house.pass_days(50)
    assert len(house.copies()) == 3
    house.deploy(C)
    house.pass_days(50)
    found = house.prune("--keep", "2", "--delete")
    # The last two are A, deployed again, and C, so B's files go.
    assert len(house.copies()) == 2
    assert found["removed"] == 2 + 1
    house.check(C)
    assert house.deploy(A).startswith("3 files as 6 objects: 2 uploaded, 4 unchanged, ")
    house.check(A)


def test_prune_keeps_unreferenced_objects_younger_than_days(house: House) -> None:
    house.deploy(A)
    house.pass_days(60)
    house.site.root.put_object(Bucket=house.site.static_bucket, Key="static/by-hand.txt", Body=b"x")
    assert not house.prune("--days", "1")["found"]
    house.pass_days(2)
    assert [each["key"] for each in house.prune("--days", "1")["found"]] == ["static/by-hand.txt"]
    assert not house.prune("--days", "3")["found"]


def test_prune_keeps_folders_and_objects_outside_static(
    s3_site: MakeSite, house: House, act_as: ActAs, settings: Any
) -> None:
    site = s3_site(one_bucket=True)
    act_as(new_user(site.store, *roles()))
    house.site = site
    with FaultProxy(site.store.endpoint) as proxy:
        house.proxy = proxy
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        house.deploy(A)
        others = {"media/a.jpg", "static", "staticfiles.json", "static-old/a.css", "pending/b", "static/"}
        others |= {"static/admin/"}
        for key in others:
            site.root.put_object(Bucket=site.static_bucket, Key=key, Body=b"")
        strange = {"static/a//b", "static/ü +%.txt", "static/manifests/site.webmanifest"}
        for key in strange:
            site.root.put_object(Bucket=site.static_bucket, Key=key, Body=b"")
        before = house.names()
        house.pass_days(400)
        found = house.prune("--delete", "--keep", "1")
        assert {each["key"] for each in found["found"]} == strange
        assert house.names() == before - strange
        house.check(A)


def test_prune_deletes_in_batches_with_one_marker_each(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.deploy(A)
    for number in range(7):
        house.site.root.put_object(
            Bucket=house.site.static_bucket, Key=f"static/old/{number}.txt", Body=b"12"
        )
    house.pass_days(50)
    monkeypatch.setattr(prune, "BATCH", 3)
    house.forget()
    found = house.prune("--delete")
    assert (found["removed"], found["removed_bytes"]) == (7, 14)
    assert house.proxy.count("POST", "delete") == 3
    assert house.proxy.count("PUT", "/pruning-") == house.proxy.count("DELETE", "/pruning-") == 3
    assert not house.markers()
    house.check(A)


# Errors


def test_prune_deletes_nothing_without_a_valid_live_manifest(house: House) -> None:
    house.deploy(A)
    house.deploy(B)
    root, bucket = house.site.root, house.site.static_bucket
    house.pass_days(100)
    before = house.names() - {MANIFEST}
    for body in (None, b"{", b"[]", b"{}", b'{"paths": []}', b'{"paths": {"a": 1}}', b"\xff"):
        if body is None:
            root.delete_object(Bucket=bucket, Key=MANIFEST)
        else:
            root.put_object(Bucket=bucket, Key=MANIFEST, Body=body)
        text = house.fails("--delete", "--keep", "1")
        assert text.startswith(MANIFEST), body
        assert "collectstatic" in text
        assert len(text.splitlines()) == 1
        assert house.names() - {MANIFEST} == before
    assert not house.proxy.count("POST")


def test_prune_fails_if_a_manifest_copy_is_unreadable(house: House) -> None:
    house.deploy(A)
    house.deploy(B)
    copy = house.copies()[0]
    house.site.root.put_object(Bucket=house.site.static_bucket, Key=copy, Body=b"{")
    text = house.fails("--delete")
    assert text.startswith(f"{copy} can't be read")
    assert len(text.splitlines()) == 1


def test_prune_deletes_nothing_while_earlier_deploys_are_unknown(house: House) -> None:
    house.deploy(A)
    house.site.root.put_object(Bucket=house.site.static_bucket, Key="static/unknown.txt", Body=b"x")
    house.pass_days(60)
    house.deploy(B)
    # Deployed 5 days ago by a version of the library without copies, so earlier deploys are unknown.
    house.pass_days(5)
    lose_copies(house)
    found = house.prune("--delete", "--keep", "1")
    assert found["unknown_before"]
    assert found["found"] == []
    assert "so no object is known to be unused for 30 days" in house.text()
    house.deploy(C)
    assert house.prune("--delete", "--keep", "1")["found"] == [], "the copy made now says so too"
    house.pass_days(26)
    age_metadata(house, 26)
    found = house.prune("--delete", "--keep", "1")
    assert found["unknown_before"] is None
    assert "static/unknown.txt" in {each["key"] for each in found["found"]}


def test_deploy_over_a_lost_manifest_leaves_history_unknown(house: House) -> None:
    house.deploy(A)
    house.pass_days(60)
    house.site.root.delete_object(Bucket=house.site.static_bucket, Key=MANIFEST)
    house.deploy(B)
    found = house.prune("--delete", "--keep", "1")
    assert found["unknown_before"]
    assert found["found"] == []


def age_metadata(house: House, days: int) -> None:
    """Change the time in a copy's metadata as well."""
    root, bucket = house.site.root, house.site.static_bucket
    for key in house.copies():
        there = root.get_object(Bucket=bucket, Key=key)
        if since := there["Metadata"].get("since"):
            older = datetime.fromisoformat(since) - timedelta(days)
            body = there["Body"].read()
            root.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"since": older.isoformat()})


def test_prune_detects_a_deleted_manifest_copy(house: House) -> None:
    house.deploy(A)
    (copy,) = house.copies()
    house.pass_days(60)
    house.deploy(B)
    house.site.root.delete_object(Bucket=house.site.static_bucket, Key=copy)
    found = house.prune("--delete", "--keep", "1")
    assert found["unknown_before"]
    assert found["found"] == []


def test_keep_and_days_must_be_at_least_one(house: House) -> None:
    for arguments in (["--keep", "0"], ["--days", "0"], ["--days", "-1"], ["--keep", "x"]):
        with pytest.raises(CommandError, match="is not a number from 1 to 36500"):
            house.text(*arguments)
    assert not house.proxy.count()


def test_missing_settings_and_permissions_are_one_line_errors(
    house: House, settings: Any, act_as: ActAs
) -> None:
    act_as(new_user(house.site.store))
    text = house.fails()
    assert (
        "these credentials lack s3:ListBucket: attach the policy that `manage.py s3 policy --role prune`"
        in text
    )
    assert len(text.splitlines()) == 1
    settings.STORAGES = s3_storages({})
    assert "bucket_name" in house.fails()
    settings.STORAGES = s3_storages(media={"bucket_name": house.site.media_bucket})
    assert house.fails() == "STORAGES has no static files on S3."
    settings.USE_S3 = False
    assert "USE_S3" in house.fails()


# Deletions


def unused(house: House) -> set[str]:
    """Deploy, add two old, unreferenced objects to the bucket, and return their keys."""
    house.deploy(A)
    keys = {"static/old.css", "static/old.js"}
    for key in keys:
        house.site.root.put_object(Bucket=house.site.static_bucket, Key=key, Body=b"old")
    house.pass_days(60)
    return keys


def test_prune_reports_a_versioned_bucket(house: House) -> None:
    unused(house)
    assert "versions" not in house.text("--delete")
    keys = unused(house)
    house.site.root.put_bucket_versioning(
        Bucket=house.site.static_bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    text = house.text("--delete")
    assert "2 of 2 objects removed, 6 bytes." in text
    assert "it still stores, and AWS bills, removed objects" in text
    assert not keys & house.names()


def test_prune_deletes_one_by_one_without_deleteobjects(house: House) -> None:
    for status, code in ((501, "NotImplemented"), (405, "MethodNotAllowed"), (400, "MissingContentMD5")):
        keys = unused(house)
        house.proxy.faults[:] = [Fault("POST", "delete", status=status, code=code)]
        assert house.prune("--delete")["removed"] == 2
        assert not keys & house.names()
        assert not house.markers()


# A list of keys is XML 1.0, which can't contain every key. (MiniStack's policies don't match line breaks.)
STRANGE = [
    "\x01",
    "\x0b",
    "tab\t",
    "return\r",
    "\ufffe",
    " ",
    "+",
    "%2B",
    "%",
    "&<>\"'",
    "é",
    "&#x1;",
]


def test_prune_deletes_keys_that_xml_cannot_contain(house: House) -> None:
    keys = unused(house)
    strange = {f"static/old{text}.js" for text in STRANGE}
    for key in strange:
        house.site.root.put_object(Bucket=house.site.static_bucket, Key=key, Body=b"old")
    house.proxy.aged |= dict.fromkeys((f"/{house.site.static_bucket}/{key}" for key in strange), 60)
    house.forget()
    found = house.prune("--delete")
    assert {each["key"] for each in found["found"]} >= keys | strange
    assert found["removed"] == len(found["found"])
    assert not (keys | strange) & house.names()
    house.check(A)
    assert house.proxy.count("POST", "delete") == 1, "the others in one request"
    assert all("encoding-type=url" in each.path for each in house.proxy.matching("GET", "list-type"))


def test_prune_escapes_control_characters_in_keys(house: House) -> None:
    unused(house)
    strange = ["static/a\x1b[2J\x1b]0;x\x07.js", "static/\u202egnp.exe\u2066", "static/a\nNothing to remove."]
    for key in strange:
        house.site.root.put_object(Bucket=house.site.static_bucket, Key=key, Body=b"old")
    house.proxy.aged |= dict.fromkeys((f"/{house.site.static_bucket}/{key}" for key in strange), 60)
    house.forget()
    text = house.text()
    assert text.replace("\n", "").isprintable()
    assert r"static/\u202egnp.exe\u2066" in text
    assert r"static/a\nNothing to remove." in text
    assert "Nothing to remove." not in text.splitlines()
    house.proxy.faults.append(Fault("POST", "delete", status=403, code="AccessDenied\x1b[2J"))
    assert house.fails("--delete").replace("\n", "").isprintable()
    house.proxy.faults.clear()
    # MiniStack's * matches no line break.
    house.site.root.delete_object(Bucket=house.site.static_bucket, Key=strange.pop())
    out = io.StringIO()
    call_command("s3", "prune", "--delete", verbosity=2, stdout=out)
    assert out.getvalue().replace("\n", "").isprintable()
    assert len(house.names()) == len(house.names() - set(strange))


def test_rejected_key_does_not_stop_the_batch(house: House) -> None:
    unused(house)
    house.proxy.faults += [
        Fault("POST", "delete", status=400, code="MalformedXML"),
        Fault("DELETE", "old.css", status=400, code="InvalidArgument"),
    ]
    text = house.fails("--delete")
    assert "1 object could not be removed:" in text
    assert "  static/old.css: InvalidArgument" in text
    assert "static/old.css" in house.names()
    assert "static/old.js" not in house.names()
    assert not house.markers()


def test_prune_reports_a_rejected_single_deletion(house: House) -> None:
    unused(house)
    house.proxy.faults += [
        Fault("POST", "delete", status=501, code="NotImplemented"),
        Fault("DELETE", "old.css", status=403, code="AccessDenied"),
    ]
    text = house.fails("--delete")
    assert "  static/old.css: AccessDenied" in text
    assert "static/old.css" in house.names()
    assert "static/old.js" not in house.names()


def test_prune_reports_keys_that_deleteobjects_rejects_simulated(house: House) -> None:
    """AWS reports an error for each object in the list; MiniStack rejects the whole list."""
    keys = unused(house)
    rejected = "<Error><Key>static/old.css</Key><Code>AccessDenied</Code><Message>No.</Message></Error>"
    answer = f"<DeleteResult><Deleted><Key>static/old.js</Key></Deleted>{rejected}</DeleteResult>"
    house.proxy.faults.append(Fault("POST", "delete", status=200, body=answer))
    text = house.fails("--delete")
    assert "1 object could not be removed:" in text
    assert "  static/old.css: AccessDenied" in text
    assert "policy --role prune" in text
    assert keys <= house.names()
    assert not house.markers()


def test_prune_without_deleteobject_permission_names_it(house: House, act_as: ActAs) -> None:
    keys = unused(house)
    (document,) = roles("prune")
    document["Statement"][0]["Resource"] += "manifests/*"
    document["Statement"][0]["Resource"] = document["Statement"][0]["Resource"].replace(
        "*manifests", "manifests"
    )
    act_as(new_user(house.site.store, document))
    text = house.fails("--delete")
    assert "these credentials lack s3:DeleteObject: attach" in text
    assert "policy --role prune" in text
    assert keys <= house.names()
    assert not house.markers()


def test_prune_retries_temporary_failures(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "PAUSE", 0)
    unused(house)
    house.proxy.faults.append(Fault("POST", "delete", status=503, code="SlowDown", times=2))
    assert house.prune("--delete")["removed"] == 2
    assert house.proxy.count("PUT", "/pruning-") == 3, "each time under a new marker"
    assert not house.markers()


def test_batch_without_a_response_leaves_its_marker(house: House) -> None:
    """It may still be running, so deploys wait until it must have finished."""
    unused(house)
    house.proxy.faults.append(Fault("POST", "delete", cut="before"))
    text = house.fails("--delete")
    assert len(text.splitlines()) == 1
    assert len(house.markers()) == 1
    house.forget()
    house.prune("--delete")
    assert len(house.markers()) == 1
    house.pass_days(1)
    house.prune("--delete")
    assert not house.markers(), "the next prune deletes it"


def test_batch_that_times_out_deletes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "PAUSE", 0)
    monkeypatch.setattr(prune, "BATCH_TIMEOUT", 0)
    keys = unused(house)
    assert "took more than 0 seconds" in house.fails("--delete")
    assert not house.proxy.count("POST")
    assert keys <= house.names()
    assert not house.markers()


# Prune during a deploy


@pytest.fixture
def due(house: House) -> House:
    """Return a site whose objects of A are due: B was live for a long time, and only one manifest is kept."""
    house.deploy(A)
    (house.first_copy,) = house.copies()
    house.pass_days(50)
    house.deploy(B)
    house.pass_days(50)
    assert len(house.prune("--keep", "1")["found"]) == 5
    house.forget()
    return house


def pruned() -> prune.PruneReport:
    """Prune as the command does, in a thread, which can't handle signals."""
    location = Deployment.load().static
    assert location
    return prune.prune(location, "staticfiles.json", keep=1, delete=True, progress=lambda *_: None)


# Also a changed file of A, whose object exists and is replaced.
AGAIN = A | {"gone.txt": b"not the same"}


@dataclass
class Meanwhile:
    """A task that runs while the test continues."""

    future: "Future[Any]"
    go_on: threading.Event

    def finish(self) -> Any:
        self.go_on.set()
        return self.future.result()


@pytest.fixture
def begin(house: House) -> Iterator[Callable[..., Meanwhile]]:
    """Return a function that starts a task, and waits until its request of this kind hangs."""
    with ThreadPoolExecutor(2) as pool:
        started = []

        def start(do: Callable[[], Any], method: str, path: str) -> Meanwhile:
            hold = threading.Event()
            house.proxy.faults.append(Fault(method, path, hold=hold, times=1))
            started.append(Meanwhile(pool.submit(do), hold))
            house.proxy.wait_for_hanging()
            return started[-1]

        yield start
        for each in started:
            each.go_on.set()


@pytest.mark.parametrize("tree", [A, AGAIN], ids=["same", "changed"])
def test_deploy_reuploads_objects_that_a_concurrent_prune_deleted(
    due: House, begin: Callable[..., Meanwhile], tree: dict[str, bytes]
) -> None:
    """The deploy relies on objects that the prune deletes before the copy is written."""
    deploy = begin(lambda: due.deploy(tree), "PUT", "/static/manifests/[0-9]")
    found = due.prune("--keep", "1", "--delete")
    assert found["removed"] == len(found["found"]) >= 3
    line = deploy.finish()
    due.check(tree)
    assert re.match(r"3 files as 6 objects: \d uploaded, ", line)
    sent = len({r.path for r in due.proxy.matching("PUT", r"/static/(?!manifests|staticfiles)")})
    uploaded, unchanged = re.search(r"(\d) uploaded, (\d) unchanged", line).groups()  # type: ignore[union-attr]
    assert (int(uploaded), int(unchanged)) == (sent, 6 - sent)


@pytest.mark.parametrize("tree", [A, AGAIN], ids=["same", "changed"])
def test_deploy_waits_for_a_running_prune_batch(
    due: House, begin: Callable[..., Meanwhile], tree: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The prune has read the manifests, then a deploy's manifest names objects that are about to be deleted."""
    pruning = begin(pruned, "POST", "delete")
    due.write(tree)
    with ThreadPoolExecutor(1) as pool:
        deploy = pool.submit(lambda: due.deploy(tree))
        due.proxy.wait_for(3, "GET", "prefix=static/manifests/pruning-")
        assert not due.proxy.count("PUT", MANIFEST)
        assert not deploy.done()
        assert pruning.finish().removed >= 3
        deploy.result()
    due.check(tree)
    assert "Waiting for `manage.py s3 prune`" in caplog.text


def test_prune_keeps_files_of_a_deploy_about_to_go_live(due: House, begin: Callable[..., Meanwhile]) -> None:
    copy = due.first_copy
    deploy = begin(lambda: due.deploy(A), "PUT", MANIFEST)
    # Except for the old copy of the same manifest, which the new one replaces.
    assert {each["key"] for each in due.prune("--keep", "1", "--delete")["found"]} <= {copy}
    deploy.finish()
    due.check(A)


def test_prune_keeps_files_of_two_concurrent_deploys(due: House, begin: Callable[..., Meanwhile]) -> None:
    """The deploy whose manifest comes last may have written its copy first."""
    deploy = begin(lambda: due.deploy(A), "PUT", MANIFEST)
    due.deploy(C)
    pruned()
    due.check(C)
    deploy.finish()
    due.check(A, plain=False)


def test_prune_rereads_manifests_before_deleting(due: House, begin: Callable[..., Meanwhile]) -> None:
    """The prune has decided what to delete, and a deploy starts and ends before the marker is written."""
    pruning = begin(pruned, "PUT", "/pruning-")
    due.deploy(AGAIN)
    found = pruning.finish()
    assert found.spared == len(found.found) - found.removed
    assert found.spared >= 3
    due.check(AGAIN)


def test_prune_keeps_objects_rewritten_since_the_listing(due: House, begin: Callable[..., Meanwhile]) -> None:
    """A deploy that replaces an object may write its manifest much later."""
    pruning = begin(pruned, "PUT", "/pruning-")
    with ThreadPoolExecutor(1) as pool:
        hold = threading.Event()
        due.proxy.faults.append(Fault("PUT", "/static/manifests/[0-9]", hold=hold))
        deploy = pool.submit(lambda: due.deploy(AGAIN))
        due.proxy.wait_for(1, "PUT", "/static/gone.txt")
        pruning.finish()
        assert "static/gone.txt" in due.names()
        hold.set()
        deploy.result()
    due.check(AGAIN)


def test_deploy_waits_only_for_earlier_prune_batches(due: House) -> None:
    """A later prune reads the manifest copy before it deletes, and a long prune doesn't delay deploys."""
    first, second = (f"{MARKERS}{secrets.token_hex(8)}" for _ in range(2))
    bucket, root = due.site.static_bucket, due.site.root
    root.put_object(Bucket=bucket, Key=first, Body=b"")
    with ThreadPoolExecutor(1) as pool:
        deploy = pool.submit(lambda: due.deploy(A))
        due.proxy.wait_for(1, "GET", "prefix=static/manifests/pruning-")
        root.put_object(Bucket=bucket, Key=second, Body=b"")
        root.delete_object(Bucket=bucket, Key=first)
        try:
            deploy.result(300)
        finally:
            root.delete_object(Bucket=bucket, Key=second)
    due.check(A)


def test_abandoned_prune_marker_expires(due: House, caplog: pytest.LogCaptureFixture) -> None:
    marker = f"{MARKERS}{secrets.token_hex(8)}"
    due.site.root.put_object(Bucket=due.site.static_bucket, Key=marker, Body=b"")
    with ThreadPoolExecutor(1) as pool:
        deploy = pool.submit(lambda: due.deploy(A))
        due.proxy.wait_for(1, "GET", "prefix=static/manifests/pruning-")
        due.proxy.aged[f"/{due.site.static_bucket}/{marker}"] = 1
        deploy.result()
    assert marker in caplog.text
    due.check(A)
    assert due.markers() == {marker}
    # An older one doesn't delay deploys.
    caplog.clear()
    due.pass_days(1)
    due.deploy(B)
    assert not caplog.text


def test_deploy_checks_for_prunes_only_if_it_reuses_old_objects(house: House) -> None:
    house.deploy(B)
    house.forget()
    house.deploy(B | {"new.txt": b"new"})
    assert house.methods() == ["GET"] * 2 + ["PUT"] * 4
    house.forget()
    # A deploy that does looks for markers, lists again, and reads the objects that it relies on, hashed and plain.
    house.deploy(B | {"other.txt": b"x"})
    house.forget()
    house.deploy(B | {"new.txt": b"new"})
    assert sorted(house.methods()) == ["GET"] * 6 + ["PUT"] * 2


def test_prune_role_is_denied_everything_else(house: House) -> None:
    (grants,) = roles("prune")
    s3 = house.site.store.client(key=new_user(house.site.store, grants))
    bucket = house.site.static_bucket
    house.deploy(A)
    for call, arguments in (
        (s3.put_object, {"Bucket": bucket, "Key": MANIFEST, "Body": b"{}"}),
        (s3.put_object, {"Bucket": bucket, "Key": "static/site.css", "Body": b""}),
        (s3.put_object, {"Bucket": bucket, "Key": "static/manifests/x.json", "Body": b""}),
        (s3.delete_object, {"Bucket": bucket, "Key": "elsewhere"}),
        (s3.list_objects_v2, {"Bucket": house.site.media_bucket}),
        (s3.put_bucket_policy, {"Bucket": bucket, "Policy": "{}"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**arguments)
