"""`manage.py add_picture FILE DESCRIPTION`: adds a picture or a video from a script."""

from pathlib import Path

from django.core.files import File
from django.core.management.base import BaseCommand, CommandError

from gallery.forms import PictureForm
from gallery.models import Picture


class Command(BaseCommand):
    """Add a picture or a video to the gallery."""

    help = "Add a picture or a video to the gallery."

    def add_arguments(self, parser):
        """Add the arguments."""
        parser.add_argument("file", type=Path)
        parser.add_argument("description")
        parser.add_argument("--if-empty", action="store_true", help="do nothing if the gallery has pictures")

    def handle(self, *args, **options):
        """Check the file as the form does, and add it."""
        path = options["file"]
        if options["if_empty"] and Picture.objects.exists():
            return
        try:
            with path.open("rb") as file:
                form = PictureForm({"alt": options["description"]}, {"file": File(file, name=path.name)})
                if form.is_valid():
                    form.save()
        except Exception as error:  # each storage raises different errors
            raise CommandError(f"Can't add {path}: {error}") from error
        if reasons := " ".join(reason for field in form.errors.values() for reason in field):
            raise CommandError(f"Can't add {path}: {reasons}")
        self.stdout.write(f"Added {path.name}.")
