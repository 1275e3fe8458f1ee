"""Typical changes by a project's owner, after which its own `make test` still passes."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.installed import Installed
from tests.machine import run

pytestmark = pytest.mark.slow


def replace(path: Path, old: str, new: str, *, count: int = 1) -> None:
    """Replace a text that occurs in a file this many times."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == count, (path.name, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def change_words(project: Path) -> None:
    """Change the README, the documents, the settings, and the pages."""
    (project / "README.md").write_text("# Our site\n\nRun `make run`.\n", encoding="utf-8")
    shutil.rmtree(project / "docs")
    settings = project / "config" / "settings.py"
    append(settings, '\nNOTES_A_PAGE = 20\nSUPPORT = env.text("SUPPORT_ADDRESS", "help@example.com")\n')
    replace(settings, '"img-src": [SELF,', '"img-src": [SELF, "https://images.example.com",')
    replace(settings, '"script-src": [SELF,', '"script-src": [SELF, "https://scripts.example.com",')
    replace(settings, '"frame-src": [SELF],', '"frame-src": [SELF, "https://video.example.com"],')
    replace(settings, 'LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "de"')
    changed = 0
    for path in (project / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        changed += text.count("Sign in")
        path.write_text(text.replace("Sign in", "Log in"), encoding="utf-8")
    assert changed >= 3


MODELS = """from django.db import models


class Note(models.Model):
    title = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    written = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.title
"""
FORMS = """from django import forms

from .models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["title", "text"]
"""
VIEWS = """from django.shortcuts import redirect, render

from .forms import NoteForm
from .models import Note


def notes(request):
    form = NoteForm(request.POST or None)
    if request.method == 'POST' and form.is_valid():
        form.save()
        return redirect("notes")
    return render(request, "notes.html", {"form": form, "notes": Note.objects.all()})
"""
ADMIN = """from django.contrib import admin

from .models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["title", "written"]
    search_fields = ["title"]
"""
TESTS = """from django.test import TestCase

from .models import Note


class NotesTest(TestCase):
    def test_page(self):
        response = self.client.post("/notes/", {"title": "One"}, secure=True)
        self.assertEqual(response.status_code, 302)
        self.assertEqual(str(Note.objects.get()), "One")
        self.assertContains(self.client.get("/notes/", secure=True), "One")
"""


def change_code(project: Path) -> None:
    """Change the gallery's limits, and write an app as in Django's tutorial."""
    replace(project / "gallery" / "forms.py", "max_bytes=10 * 1024**2", "max_bytes=3 * 1024**2")
    replace(project / "gallery" / "forms.py", "FORM_MAX_BYTES = 100 *", "FORM_MAX_BYTES = 20 *")
    replace(project / "gallery" / "views.py", "PICTURES_PER_PAGE = 12", "PICTURES_PER_PAGE = 5")
    python = ".venv/bin/python"
    # `startapp` creates unused imports, which the linter must accept.
    run(python, "manage.py", "startapp", "notes", cwd=project)
    replace(project / "config" / "settings.py", '    "gallery",\n', '    "gallery",\n    "notes",\n')
    run("make", "lint", cwd=project)
    for name, text in {
        "models": MODELS,
        "forms": FORMS,
        "views": VIEWS,
        "admin": ADMIN,
        "tests": TESTS,
    }.items():
        (project / "notes" / f"{name}.py").write_text(text, encoding="utf-8")
    (project / "templates" / "notes.html").write_text(
        '{% extends "base.html" %}{% block content %}{% for note in notes %}<p>{{ note }}</p>{% endfor %}'
        '<form method="post">{% csrf_token %}{{ form }}<button>Save</button></form>{% endblock %}\n',
        encoding="utf-8",
    )
    urls = project / "config" / "urls.py"
    replace(urls, "urlpatterns = [\n", 'urlpatterns = [\n    path("notes/", notes, name="notes"),\n')
    replace(
        urls,
        "from django.urls import include, path\n",
        "from django.urls import include, path\n\nfrom notes.views import notes\n",
    )
    run(python, "manage.py", "makemigrations", "notes", cwd=project)
    assert "notes/tests.py" in run(".venv/bin/pytest", "-q", "--collect-only", cwd=project)


def test_tests_pass_after_the_owner_changes_words_and_code(bake: Bake, on_lts: Installed) -> None:
    project = on_lts.lend(bake(django_version="5.2", project_slug="config"))  # also the name of its package
    change_words(project)
    change_code(project)
    printed = run("make", "--old-file", ".venv", "test", cwd=project)
    assert re.search(r"\d+ passed", printed)
    assert "All checks passed!" in printed
    assert "Success: no issues found" in printed
