"""The site's URLs."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("users.urls")),
    path("uploads/", include("s3kit.uploads.urls")),
    path("", include("gallery.urls")),
    # Uploads on the local disk. Django serves them only in debug mode.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
