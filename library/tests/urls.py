"""The URLs of the library's test site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("uploads/", include("s3kit.uploads.urls")),
]
