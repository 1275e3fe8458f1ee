"""A site with direct uploads, as a separate process: settings, pages, and server, for test_uploads_browser.py.

python -m tests.upload_site  prints its URL. Its database and its S3 server come from the environment.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Django also imports this module by name.
    sys.modules["tests.upload_site"] = sys.modules[__name__]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.upload_site"

_environment = dict(os.environ)

from tests.settings import *  # noqa: E402, F403
from tests.settings import MIDDLEWARE  # noqa: E402

os.environ.update(_environment)

DEBUG = True
ROOT_URLCONF = os.environ.get("TEST_URLS", "tests.upload_site")
LANGUAGE_CODE = os.environ.get("LANGUAGE", "en")
MIDDLEWARE = ["tests.upload_site.strict", *MIDDLEWARE]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["TEST_FOLDER"]) / "db.sqlite3",
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
# A login in one browser must not end other sessions.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
STATIC_ROOT = None
USE_S3 = True
AWS_S3_REGION_NAME = "eu-central-1"
AWS_S3_ENDPOINT_URL = os.environ["AWS_S3_ENDPOINT_URL"]
STORAGES = {
    "default": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {"bucket_name": os.environ["MEDIA_BUCKET"]},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

KIB = 2**10
PART = 256 * KIB
MAX_BYTES = 8 * KIB * KIB
FORM_MAX_BYTES = KIB * KIB


def strict(get_response: Any) -> Any:
    """Allow only the site's own files and requests to S3."""
    sources = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "form-action": "'self'",
        "connect-src": f"'self' {AWS_S3_ENDPOINT_URL}",
    }
    policy = "; ".join(f"{name} {value}" for name, value in sources.items())

    def answer(request: Any) -> Any:
        response = get_response(request)
        response.headers["Content-Security-Policy"] = policy
        return response

    return answer


def site() -> None:
    """Set up the site and serve it until the process ends."""
    import django

    django.setup()

    from django.contrib.auth.models import User
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command
    from django.core.servers.basehttp import ThreadedWSGIServer

    from s3kit.buckets import apply
    from s3kit.deployment import Deployment
    from s3kit.uploads import limits, tickets
    from tests.chromium import QuietHandler

    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    address = f"http://127.0.0.1:{server.server_port}"
    django.conf.settings.AWS_SITE_ORIGINS = [address]
    apply.prepare(Deployment.load())
    call_command("migrate", run_syncdb=True, verbosity=0)
    for name in ("anna", "bert"):
        User.objects.create_superuser(name, password="secret")
    # Small parts, so small files have several, and any number of files.
    tickets.PART_FROM = tickets.PART = tickets.MIB = PART
    limits.TICKETS_PER_HOUR = 10_000
    server.set_app(StaticFilesHandler(WSGIHandler()))
    print(f"Serving at {address}.", flush=True)  # noqa: T201
    server.serve_forever()


def check(file: Any) -> None:
    """Reject files whose content says so."""
    from django.core.exceptions import ValidationError

    if file.read(7) == b"REJECT!":
        raise ValidationError("This file asks to be rejected.")
    file.seek(0)


def urls() -> list[Any]:
    """Return the pages of the site."""
    from django import forms
    from django.contrib import admin
    from django.contrib.auth import login, logout
    from django.contrib.auth.models import User
    from django.db import models
    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.middleware.csrf import rotate_token
    from django.shortcuts import redirect
    from django.template import RequestContext, Template
    from django.urls import include, path
    from django.utils.html import format_html

    from s3kit.uploads import DirectFileField
    from tests.shop.models import Video

    rules = {
        "types": ["bin", "txt"],
        "max_bytes": MAX_BYTES,
        "form_max_bytes": FORM_MAX_BYTES,
        "check": check,
    }

    class VideoForm(forms.ModelForm):
        file = DirectFileField(**rules)

        class Meta:
            model = Video
            fields = ("title", "file")

    class ManyForm(forms.Form):
        title = forms.CharField()
        files = DirectFileField(**rules, upload_to="videos/", multiple=True)

        def save(self) -> None:
            for number, file in enumerate(self.cleaned_data["files"]):
                Video.objects.create(title=f"{self.cleaned_data['title']} {number}", file=file)

    class VideoAdmin(admin.ModelAdmin):
        formfield_overrides = {models.FileField: {"form_class": DirectFileField}}  # noqa: RUF012

    if not admin.site.is_registered(Video):
        admin.site.register(Video, VideoAdmin)

    template = Template("""<!doctype html><html lang="{{ language }}"><title>Videos</title>
        <meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/page.css">{{ media }}
        <main><h1>Videos</h1><form method="post" enctype="multipart/form-data">{% csrf_token %}{{ fields }}
        <p><button name="_save">Save</button> <button name="_continue">Save and continue</button></form></main>""")

    def shown(request: HttpRequest, media: Any, fields: Any) -> HttpResponse:
        context = {"media": media, "fields": fields, "language": LANGUAGE_CODE}
        return HttpResponse(template.render(RequestContext(request, context)))

    def page(request: HttpRequest, form_class: Any) -> HttpResponse:
        form = form_class(request.POST or None, request.FILES or None)
        if form.is_valid():
            form.save()
            return redirect("/saved/?" + ("_continue" if "_continue" in request.POST else ""))
        return shown(request, form.media, form)

    def rows(request: HttpRequest) -> HttpResponse:
        formset = forms.modelformset_factory(Video, VideoForm, extra=0)(
            request.POST or None, request.FILES or None, queryset=Video.objects.none()
        )
        if formset.is_valid():
            formset.save()
            return redirect("/saved/")
        fields = format_html("<template>{}</template>{}", formset.empty_form, formset)
        return shown(request, formset.empty_form.media, fields)

    def saved(_request: HttpRequest) -> HttpResponse:
        """Respond with each row's title, and its file's name, size, and digest."""
        found = []
        for video in Video.objects.order_by("pk"):
            content = video.file.read()
            digest = hashlib.sha256(content).hexdigest()
            found.append([video.title, Path(video.file.name).name.partition("-")[0], len(content), digest])
        return JsonResponse(found, safe=False)

    def log_in(request: HttpRequest, name: str) -> HttpResponse:
        login(request, User.objects.get(username=name))
        return HttpResponse("Welcome")

    def log_out(request: HttpRequest) -> HttpResponse:
        logout(request)
        return HttpResponse("Bye")

    def rotate(request: HttpRequest) -> HttpResponse:
        rotate_token(request)
        return HttpResponse("Rotated")

    def style(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(STYLE, content_type="text/css")

    return [
        path("one/", page, {"form_class": VideoForm}),
        path("many/", page, {"form_class": ManyForm}),
        path("rows/", rows),
        path("saved/", saved),
        path("in/<name>/", log_in),
        path("out/", log_out),
        path("rotate/", rotate),
        path("page.css", style),
        path("favicon.ico", saved),
        path("admin/", admin.site.urls),
        path("uploads/", include("s3kit.uploads.urls")),
    ]


STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; }
main { max-inline-size: 42rem; margin: 2rem auto; padding: 0 1rem; }
label { display: block; font-weight: 600; margin-block-end: .25rem; }
input[type=text] { box-sizing: border-box; inline-size: 100%; font: inherit; padding: .4rem .6rem; }
"""


def __getattr__(name: str) -> Any:
    if name == "urlpatterns":  # which needs Django's apps
        globals()[name] = urls()
        return globals()[name]
    raise AttributeError(name)


if __name__ == "__main__":
    site()
