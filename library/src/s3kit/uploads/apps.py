"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Uploads that browsers send straight to S3."""

    name = "s3kit.uploads"
    label = "s3kit_uploads"
    verbose_name = "Uploads to S3"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the signals that track rows with files, and register the system check."""
        from django.core.checks import register
        from django.core.signals import request_finished
        from django.db import close_old_connections
        from django.db.models.signals import post_save, pre_save

        from s3kit.uploads import rows
        from s3kit.uploads.checks import check_setting

        pre_save.connect(rows.before_row, dispatch_uid="s3kit.uploads")
        post_save.connect(rows.after_row, dispatch_uid="s3kit.uploads")
        request_finished.connect(rows.end_saves, dispatch_uid="s3kit.uploads")
        # `end_saves` needs the connections, so Django must close them after it.
        if request_finished.disconnect(close_old_connections):
            request_finished.connect(close_old_connections)
        register(check_setting, "s3kit")
