"""The pages of the measured site: a form for one film, and a form for many files."""

from django import forms
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from s3kit.uploads import DirectFileField, films

from benchmarks.measured_site.models import Film

# Without a limit on the form's files, so that there is something to compare.
ANY_SIZE = 10**12


class FilmForm(forms.ModelForm):
    """A form for one film, with a check."""

    file = DirectFileField(types=["mp4"], check=films.check_film, form_max_bytes=ANY_SIZE)

    class Meta:
        model = Film
        fields = ("file",)


class ManyForm(forms.Form):
    """A form for many films in one field."""

    file = DirectFileField(types=["mp4"], check=films.check_film, upload_to="many/", multiple=True)

    def save(self):
        """Save a row for each film, all of them or none."""
        with transaction.atomic():
            for file in self.cleaned_data["file"]:
                Film.objects.create(file=file)


def page(request, form_class):
    """Show the form, or save the posted files."""
    form = form_class(request.POST or None, request.FILES or None)
    if request.method == "POST":
        if form.is_valid():
            form.save()
        return JsonResponse({"errors": form.errors}, status=400 if form.errors else 200)
    return HttpResponse(form.as_p())


urlpatterns = [
    path("one/", page, {"form_class": FilmForm}),
    path("many/", page, {"form_class": ManyForm}),
    path("uploads/", include("s3kit.uploads.urls")),
]
