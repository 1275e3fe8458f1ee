"""`manage.py remove_gallery`: removes the example app from the database and the project."""

import re
import shutil
import sys

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import default_storage
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from gallery.models import Picture

# File, pattern, replacement. The settings come last, so the command can run again after a failure.
EDITS = (
    (
        "config/urls.py",
        r'^(from django\.urls import .*\n)((?:.*\n)*? *path\("", )include\("gallery\.urls"\)\),$',
        r"\1from django.views.generic import TemplateView"
        r'\n\2TemplateView.as_view(template_name="base.html"), name="home"),',
    ),
    ("README.md", r"^\| `gallery/` .*\n|^To remove the example(?:.+\n)+\n", ""),
    ("config/settings.py", r'^ *"gallery",\n', ""),
)


class Command(BaseCommand):
    """Remove the example app."""

    help = "Remove the example app: its tables, code, templates, static files, and tests."

    def add_arguments(self, parser):
        """Add the arguments."""
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="don't ask")
        parser.add_argument("--delete-uploads", action="store_true", help="also delete the uploaded files")

    def handle(self, *args, interactive, delete_uploads, **options):
        """Check for obstacles, ask, and remove the app. After a failure, the command can run again."""
        texts = {}
        for name, pattern, replacement in EDITS:
            path = settings.BASE_DIR / name
            texts[path] = re.sub(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            if name.endswith(".py") and '"gallery' in texts[path]:
                raise CommandError(f"Remove the gallery from {name} yourself, and keep a URL named home.")
        graph = MigrationLoader(connection).graph
        apps = {app for root in graph.root_nodes("gallery") for app, _ in graph.backwards_plan(root)}
        if others := ", ".join(sorted(apps - {"gallery"})):  # migrating to zero would also drop their tables
            raise CommandError(f"Migrations of {others} depend on the gallery. Remove those first.")
        has_table = Picture._meta.db_table in connection.introspection.table_names()
        files = [picture.file for picture in Picture.objects.all()] if has_table else []
        place = getattr(default_storage, "bucket_name", None) or default_storage.location
        self.stdout.write(
            f"This drops the gallery's table in {connection.settings_dict['NAME']} ({len(files)} pictures and videos)"
            f" and deletes the code. Their files in {place} "
            + ("are also deleted." if delete_uploads else "stay; --delete-uploads deletes them.")
        )
        if interactive:
            self.stdout.write("Commit your work first. Type 'yes' to continue:")
            if sys.stdin.readline().strip() != "yes":
                raise CommandError("Nothing was changed.")
        try:
            for file in files if delete_uploads else ():
                file.storage.delete(file.name)
            call_command("migrate", "gallery", "zero", interactive=False, verbosity=options["verbosity"])
            ContentType.objects.filter(app_label="gallery").delete()  # and with them the permissions
            self.remove(texts)
        except Exception as error:  # each storage and database raises different errors
            raise CommandError(f"Not finished: {error}. Fix that and run the command again.") from error
        self.stdout.write("Done. On servers, run 'manage.py migrate gallery zero' before you deploy this.")

    def remove(self, texts):
        """Write the edited files and delete the app's, with this command last."""
        (settings.BASE_DIR / "tests" / "test_gallery.py").unlink(missing_ok=True)
        for name in ("templates/gallery", "static/gallery"):
            if (settings.BASE_DIR / name).exists():
                shutil.rmtree(settings.BASE_DIR / name)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        shutil.rmtree(settings.BASE_DIR / "gallery")
