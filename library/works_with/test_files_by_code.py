"""Packages that write their own files, and read them under the names that they chose."""

import io
import json
from typing import Any

import pytest
from dbbackup.storage import get_storage  # here, before the tests change STORAGES
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import path
from import_export.admin import ImportExportModelAdmin

from s3kit.buckets import policies
from s3kit.deployment import Deployment
from tests.ministack import ActAs, MakeSite, SiteOnS3, new_user
from works_with import settings as works_with_settings

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SITE = admin.AdminSite("works-with")
SITE.register(Group, ImportExportModelAdmin)
urlpatterns = [path("admin/", SITE.urls)]


@pytest.fixture
def site(s3_site: MakeSite, settings: Any, act_as: ActAs) -> SiteOnS3:
    """Return a site with uploads and backups on S3, with the permissions from the site's policy."""
    made = s3_site()
    settings.AWS_STORAGE_BUCKET_NAME = made.media_bucket
    settings.STORAGES = works_with_settings.STORAGES
    act_as(new_user(made.store, policies.document(policies.web(Deployment.load()))))
    return made


def keys(site: SiteOnS3) -> list[str]:
    """Return the keys of all uploads."""
    return [each["Key"] for each in site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])]


@pytest.mark.urls(__name__)
@pytest.mark.works_with(
    "django-import-export",
    "A user runs and confirms an import in the admin; its temporary file is on S3 and is deleted afterward.",
)
def test_import_export(site: SiteOnS3, admin_client: Client) -> None:
    rows = io.BytesIO("id,name\n,Editors\n,Läktare\n".encode())
    rows.name = "groups.csv"
    chosen = {"format": "0", "resource": "0", "import_file": rows}
    page = admin_client.post("/admin/auth/group/import/", chosen)
    form = page.context["confirm_form"]
    (there,) = keys(site)
    assert there.startswith("media/django-import-export/")
    done = admin_client.post("/admin/auth/group/process_import/", form.initial)
    assert done.status_code == 302
    assert sorted(Group.objects.values_list("name", flat=True)) == ["Editors", "Läktare"]
    assert keys(site) == []


@pytest.mark.works_with(
    "django-dbbackup", "`dbbackup` and `dbrestore` back up and restore a database with its metadata."
)
def test_dbbackup(site: SiteOnS3) -> None:
    User.objects.create_user("ann")
    call_command("dbbackup", verbosity=0)
    (name,) = get_storage().list_backups()
    assert keys(site) == [f"backups/{name}", f"backups/{name}.metadata"]
    assert "sqlite3" in json.load(get_storage().read_file(f"{name}.metadata"))["engine"]
    User.objects.all().delete()
    call_command("dbrestore", "--noinput", verbosity=0)
    assert User.objects.get().username == "ann"
