"""The admin, configured as the package's documentation says."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin

from works_with.site.models import Note, Topic

if settings.SITE == "django-unfold":
    from unfold.admin import ModelAdmin
elif settings.SITE == "django-summernote":
    from django_summernote.admin import SummernoteModelAdmin as ModelAdmin
else:
    from django.contrib.admin import ModelAdmin

COLLAPSED = {"django-unfold": "tab", "django-grappelli": "grp-collapse grp-closed"}


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    search_fields = ("name",)


@admin.register(Note)
class NoteAdmin(ModelAdmin):
    list_display = ("title", "topic", "on")
    list_filter = ("topic",)
    search_fields = ("title",)
    date_hierarchy = "on"
    autocomplete_fields = ("topic",)
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["title", "topic", "on"]}),
        ("File", {"fields": ["attachment"], "classes": ["tab"] if settings.SITE == "django-unfold" else []}),
        ("Details", {"fields": ["text"], "classes": [COLLAPSED.get(settings.SITE, "collapse")]}),
    ]
