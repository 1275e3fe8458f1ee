"""Pages of the tests' site: an admin with direct uploads, and the protocol."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from s3kit.uploads import DirectImageField, DirectUploadsMixin
from tests.shop.models import Clip, Document, Photo, Still, Video


class StillInline(DirectUploadsMixin, admin.TabularInline):
    model = Still
    extra = 0


class VideoAdmin(DirectUploadsMixin, admin.ModelAdmin):
    direct_uploads = {"file": {"types": ["mp4", "bin"]}}  # noqa: RUF012
    inlines = (StillInline,)
    list_display = ("title", "file")
    list_editable = ("file",)
    search_fields = ("title",)
    save_as = True


class PhotoAdmin(DirectUploadsMixin, admin.ModelAdmin):
    formfield_overrides = {models.ImageField: {"form_class": DirectImageField}}  # noqa: RUF012


class DocumentAdmin(DirectUploadsMixin, admin.ModelAdmin):
    pass


class ClipAdmin(DirectUploadsMixin, admin.ModelAdmin):
    fields = ("title", "file")


class StillAdmin(DirectUploadsMixin, admin.ModelAdmin):
    autocomplete_fields = ("video",)


site = admin.AdminSite()
site.register(Video, VideoAdmin)
site.register(Photo, PhotoAdmin)
site.register(Document, DocumentAdmin)
site.register(Still, StillAdmin)
site.register(Clip, ClipAdmin)


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    login(request, User.objects.get(username=name))
    return HttpResponse("Welcome")


urlpatterns: list[Any] = [
    path("in/<name>/", log_in),
    path("admin/", site.urls),
    path("uploads/", include("s3kit.uploads.urls")),
]
