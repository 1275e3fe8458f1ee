"""The lasting URLs of the default storage's files: `path("media/", include("s3kit.links.urls"))`."""

from s3kit import links

urlpatterns = links.patterns("default")
