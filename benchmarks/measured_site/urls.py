"""The pages of the measured site: a form for one video, and a form for many files."""

from django import forms
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from s3kit.uploads import DirectFileField, videos

from benchmarks.measured_site.models import Video

# Without a limit on the form's files, so that there is something to compare.
ANY_SIZE = 10**12


class VideoForm(forms.ModelForm):
    """A form for one video, with a check."""

    file = DirectFileField(types=["mp4"], check=videos.check_video, form_max_bytes=ANY_SIZE)

    class Meta:
        model = Video
        fields = ("file",)


class ManyForm(forms.Form):
    """A form for many videos in one field."""

    file = DirectFileField(types=["mp4"], check=videos.check_video, upload_to="many/", multiple=True)

    def save(self):
        """Save a row for each video, all of them or none."""
        with transaction.atomic():
            for file in self.cleaned_data["file"]:
                Video.objects.create(file=file)


def page(request, form_class):
    """Show the form, or save the posted files."""
    form = form_class(request.POST or None, request.FILES or None)
    if request.method == "POST":
        if form.is_valid():
            form.save()
        return JsonResponse({"errors": form.errors}, status=400 if form.errors else 200)
    return HttpResponse(form.as_p())


urlpatterns = [
    path("one/", page, {"form_class": VideoForm}),
    path("many/", page, {"form_class": ManyForm}),
    path("uploads/", include("s3kit.uploads.urls")),
]
