"""The model that the admin edits: a note, whose text uses the editor under test."""

from django.conf import settings
from django.db import models

if settings.SITE == "django-ckeditor-5":
    from django_ckeditor_5.fields import CKEditor5Field as Text
elif settings.SITE == "django-prose-editor":
    from django_prose_editor.fields import ProseEditorField as Text
elif settings.SITE == "django-tinymce":
    from tinymce.models import HTMLField as Text
else:
    from django.db.models import TextField as Text

OPTIONS = {"django-prose-editor": {"extensions": {"Bold": True}, "sanitize": False}}


class Topic(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Note(models.Model):
    title = models.CharField(max_length=100)
    topic = models.ForeignKey(Topic, on_delete=models.CASCADE)
    on = models.DateField()
    attachment = models.FileField(blank=True)
    text = Text(blank=True, **OPTIONS.get(settings.SITE, {}))

    def __str__(self) -> str:
        return self.title
