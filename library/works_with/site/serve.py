"""Prepare the buckets and the database, publish the static files, and serve the site, all in one process."""

import os
import subprocess
import sys
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402

from s3kit.buckets import apply, policies  # noqa: E402
from s3kit.deployment import Deployment, Key  # noqa: E402
from s3kit.local.server import LocalServer  # noqa: E402
from tests.ministack import REGION, new_user  # noqa: E402
from works_with.site.models import Topic  # noqa: E402

# Root prepares the buckets; the site has only the permissions in the library's policies.
root = Key(os.environ["SITE_ROOT"], os.environ["SITE_ROOT_SECRET"])
store = LocalServer(os.environ["SITE_ENDPOINT"], REGION, Path(os.environ["SITE_FOLDER"]), root)
wanted = Deployment.load()
apply.prepare(wanted.with_key(root))
key = new_user(store, *(policies.document(policies.ROLES[role](wanted)) for role in ("web", "deploy")))
os.environ |= {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}

call_command("migrate", verbosity=0, run_syncdb=True)
get_user_model().objects.create_superuser("anna", "anna@example.com", "a-password-for-this-test")
Topic.objects.bulk_create([Topic(name="Lakes"), Topic(name="Hills")])
if apps.is_installed("cms"):
    from cms.api import create_page

    create_page("Lakes", "page.html", "en")
    # In another process, because it changes the loaded templates.
    subprocess.run([sys.executable, "-m", "django", "compress", "--verbosity", "0"], check=True)
call_command("collectstatic", interactive=False)
call_command("runserver", os.environ["SITE_ADDRESS"].partition("//")[2], "--noreload", "--nostatic")
