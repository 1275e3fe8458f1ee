"""The test site's WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from s3kit.storages import require_manifest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.process_settings")

application = get_wsgi_application()

require_manifest()
