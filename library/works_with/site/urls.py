"""The site's URLs."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls)]

if settings.SITE == "django-grappelli":
    urlpatterns += [path("grappelli/", include("grappelli.urls"))]
if settings.SITE == "django-summernote":
    urlpatterns += [path("summernote/", include("django_summernote.urls"))]
if settings.SITE == "django-ckeditor-5":
    urlpatterns += [path("ckeditor5/", include("django_ckeditor_5.urls"))]
if settings.SITE == "django-tinymce":
    urlpatterns += [path("tinymce/", include("tinymce.urls"))]
if settings.SITE == "drf-spectacular":
    from drf_spectacular import views
    from rest_framework import generics, serializers

    from s3kit.uploads.rest import DirectFileField
    from works_with.site.models import Topic

    class TopicSerializer(serializers.ModelSerializer):
        class Meta:
            model = Topic
            fields = ("id", "name")

    class Topics(generics.ListCreateAPIView):
        queryset = Topic.objects.order_by("pk")
        serializer_class = TopicSerializer

    class NoteSerializer(serializers.Serializer):
        file = DirectFileField(upload_to="notes/", help_text="A token, or a file.")

    class Notes(generics.CreateAPIView):
        serializer_class = NoteSerializer

    urlpatterns += [
        path("api/topics/", Topics.as_view()),
        path("api/notes/", Notes.as_view()),
        path("api/uploads/", include("s3kit.uploads.rest")),
        path("api/schema/", views.SpectacularAPIView.as_view(), name="schema"),
        path("api/docs/", views.SpectacularSwaggerView.as_view(), name="swagger-ui"),
        path("api/docs/split/", views.SpectacularSwaggerSplitView.as_view(), name="swagger-ui-split"),
        path("api/redoc/", views.SpectacularRedocView.as_view(), name="redoc"),
    ]
if settings.SITE == "together":
    from baton.autodiscover import admin as baton_admin
    from django.shortcuts import render

    from works_with.site.forms import PlaceForm

    urlpatterns = [
        path("admin/", baton_admin.site.urls),
        path("baton/", include("baton.urls")),
        path("ckeditor5/", include("django_ckeditor_5.urls")),
        path("explorer/", include("explorer.urls")),
        path("place/", lambda request: render(request, "place.html", {"form": PlaceForm()})),
        path("", include("cms.urls")),
    ]
