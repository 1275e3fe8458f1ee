"""The site's addresses."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("users.urls")),
    path("", include("gallery.urls")),
    # Uploads on local disk, for development; Django adds nothing here when debug is off.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
