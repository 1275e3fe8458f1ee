"""`manage.py add_picture FILE DESCRIPTION`: what the page's form does, for scripts."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.base import BaseCommand, CommandError
from django.utils.datastructures import MultiValueDict

from gallery.forms import PictureForm
from gallery.models import NotStoredError, Picture


class Command(BaseCommand):
    """Add a picture or a film to the gallery, checked and prepared as an upload is."""

    help = "Add a picture or a film to the gallery."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the file, its description, and the switch for demonstrations."""
        parser.add_argument("file", type=Path)
        parser.add_argument("description")
        parser.add_argument("--if-empty", action="store_true", help="do nothing where pictures are already")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Add the picture; a file that is none, or a storage that fails, is one line and exit code 1."""
        if options["if_empty"] and Picture.objects.exists():
            return
        file: Path = options["file"]
        try:
            upload = SimpleUploadedFile(file.name, file.read_bytes())
        except OSError as error:
            raise CommandError(f"Cannot read {file}: {error.strerror}") from error
        form = PictureForm({"alt": options["description"]}, MultiValueDict({"file": [upload]}))
        if not form.is_valid():
            reasons = " ".join(str(reason) for reasons in form.errors.values() for reason in reasons)
            raise CommandError(f"{file} was not added: {reasons}")
        try:
            form.save()
        except NotStoredError as error:
            raise CommandError(f"{file} was not added: {error.__cause__}") from error
        self.stdout.write(f"Added {file.name}.")
