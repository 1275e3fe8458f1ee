"""Debug off, all files on S3, and the template's Content-Security-Policy. SITE names the package under test."""

import ast
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import csp.constants

import s3kit.csp
from works_with.site.paths import BASE_DIR

SITE = os.environ["SITE"]
ADDRESS = os.environ["SITE_ADDRESS"]
ROOT = Path(__file__).parents[3]

SECRET_KEY = "only-for-tests"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [ADDRESS]
SECURE_SSL_REDIRECT = False
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
ROOT_URLCONF = "works_with.site.urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
# Create tables without migrations, which is faster.
MIGRATION_MODULES: dict[str, None] = dict.fromkeys(
    (
        *("admin", "admin_interface", "auth", "contenttypes", "django_summernote", "sessions"),
        *("baton", "cms", "easy_thumbnails", "explorer", "filer", "sites"),
    )
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_template = ast.parse((ROOT / "{{cookiecutter.project_slug}}" / "config" / "settings.py").read_text("utf-8"))
(_policy,) = (
    node.value
    for node in _template.body
    if isinstance(node, ast.AnnAssign)
    and ast.unparse(node.target) == "CONTENT_SECURITY_POLICY"
    and node.value
)
_words = vars(csp.constants) | vars(s3kit.csp) | {"SECURE_SSL_REDIRECT": SECURE_SSL_REDIRECT}
CONTENT_SECURITY_POLICY: dict[str, Any] = eval(ast.unparse(_policy), _words)  # noqa: S307 -- our own file

APPS: dict[str, list[str]] = {
    "django-admin-interface": ["admin_interface", "colorfield"],
    "django-ckeditor-5": ["django_ckeditor_5"],
    "django-grappelli": ["grappelli"],
    "django-jazzmin": ["jazzmin"],
    "django-prose-editor": ["django_prose_editor"],
    "django-summernote": ["django_summernote"],
    "django-tinymce": ["tinymce"],
    "django-unfold": ["unfold", "unfold.contrib.filters", "unfold.contrib.forms"],
    "drf-spectacular": ["rest_framework", "drf_spectacular", "drf_spectacular_sidecar", "s3kit.uploads"],
    # Packages that work together on one site.
    "together": [
        *("baton", "cms", "menus", "sekizai", "treebeard", "django.contrib.sites"),
        *("compressor", "django_ace", "django_ckeditor_5", "easy_thumbnails", "explorer", "filer"),
        *("image_cropping", "location_field.apps.DefaultConfig", "mdeditor", "nested_admin", "polymorphic"),
    ],
}
# Packages on such a site that need settings.
NEEDING = {"together": ["django-compressor"]}

INSTALLED_APPS = [
    "s3kit",  # before packages that copy STATIC_URL while they are imported
    *APPS[SITE],
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "works_with.site",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "s3kit.csp.SourcesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = "static/"
MEDIA_URL = "media/"
USE_S3 = True
AWS_S3_REGION_NAME = "eu-central-1"
AWS_S3_ENDPOINT_URL = os.environ["SITE_ENDPOINT"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {"bucket_name": os.environ["SITE_MEDIA"]},
    },
    "staticfiles": {
        "BACKEND": "s3kit.storages.StaticStorage",
        "OPTIONS": {"bucket_name": os.environ["SITE_STATIC"]},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"]},
}
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}

CKEDITOR_5_CONFIGS = {"default": {"toolbar": ["bold", "alignment"]}}

if SITE == "together":
    SITE_ID = 1
    LANGUAGES = [("en", "English")]
    LANGUAGE_CODE = "en"
    CMS_CONFIRM_VERSION4 = True
    CMS_TEMPLATES = [("page.html", "Page")]
    X_FRAME_OPTIONS = "SAMEORIGIN"
    MIDDLEWARE += [
        "django.middleware.locale.LocaleMiddleware",
        "cms.middleware.user.CurrentUserMiddleware",
        "cms.middleware.page.CurrentPageMiddleware",
        "cms.middleware.toolbar.ToolbarMiddleware",
        "cms.middleware.language.LanguageCookieMiddleware",
    ]
    TEMPLATES[0]["OPTIONS"]["context_processors"] += [
        "django.template.context_processors.static",
        "sekizai.context_processors.sekizai",
        "cms.context_processors.cms_settings",
    ]
    STATIC_ROOT = BASE_DIR / "static"
    STORAGES["staticfiles"]["OPTIONS"]["prehashed"] = ["CACHE/css/*", "CACHE/js/*"]

for _package in NEEDING.get(SITE, [SITE]):
    _needs = vars(import_module(f"works_with.site.needs.{_package.replace('-', '_')}"))
    vars().update({name: value for name, value in _needs.items() if name.isupper()})
