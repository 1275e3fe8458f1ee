import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Picture",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "image",
                    models.ImageField(
                        blank=True, height_field="height", upload_to="pictures/", width_field="width"
                    ),
                ),
                ("width", models.PositiveIntegerField(blank=True, editable=False, null=True)),
                ("height", models.PositiveIntegerField(blank=True, editable=False, null=True)),
                ("video", models.FileField(blank=True, upload_to="videos/")),
                (
                    "alt",
                    models.CharField(
                        help_text="What does it show? Screen readers read this to people who can't see it.",
                        max_length=200,
                        verbose_name="description",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="added")),
                (
                    "uploaded_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="pictures",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="added by",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-pk"),
                "indexes": [models.Index(fields=["-created_at", "-id"], name="gallery_newest_first")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("image", ""), ("video", ""), _connector="XOR"),
                        name="gallery_image_or_video",
                        violation_error_message="A picture has an image or a video.",
                    )
                ],
            },
        ),
    ]
