"""Django settings. Values that differ between machines come from environment variables, which README.md lists."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from csp.constants import NONE, SELF
from s3kit.csp import DIRECT_UPLOADS, STATIC_FILES, UPLOADS

from config import logs
from config.env import Env, database, env_file, mailer, valid

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env.load(env_file())

SITE_NAME = env.text("DJANGO_SITE_NAME", "My Site")


# Security

# Debug mode shows the settings to every visitor, so only this variable turns it on.
DEBUG = env.bool("DJANGO_DEBUG", default=False)

_required = ["DJANGO_SECRET_KEY"] if DEBUG else ["DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"]
env.require(*_required, hint="For development, `make .env` writes a .env.")

SECRET_KEY = env.text("DJANGO_SECRET_KEY")

ALLOWED_HOSTS = env.texts("DJANGO_ALLOWED_HOSTS")

# The site's origins, such as https://www.example.com. The buckets' CORS rules allow them too.
CSRF_TRUSTED_ORIGINS = env.texts("DJANGO_SITE_ORIGINS")

# For a site on plain http, DJANGO_SECURE_SSL_REDIRECT=false also turns off secure cookies and HSTS.
SECURE_SSL_REDIRECT = env.bool("DJANGO_SECURE_SSL_REDIRECT", default=not DEBUG)
SESSION_COOKIE_SECURE = SECURE_SSL_REDIRECT
CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_SSL_REDIRECT
# The browsers' HSTS preload list is hard to leave, so the decision to join it is yours.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# Set this only behind a proxy that always sets the header itself. Otherwise, any visitor could send it.
if _header := env.text("DJANGO_SECURE_PROXY_SSL_HEADER"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_" + _header.upper().replace("-", "_"), "https")

SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# What pages may load. STATIC_FILES, UPLOADS, and DIRECT_UPLOADS are replaced with the addresses of the storages.
# Scripts from SELF are the admin's translations, blob: is for previews of chosen files, and data: is for icons in style
# sheets, such as Bootstrap's.
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, STATIC_FILES],
        "style-src": [STATIC_FILES],
        "font-src": [STATIC_FILES],
        "img-src": [SELF, STATIC_FILES, UPLOADS, "blob:", "data:"],
        "media-src": [UPLOADS, "blob:"],
        "connect-src": [SELF, STATIC_FILES, UPLOADS, DIRECT_UPLOADS],
        "frame-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "upgrade-insecure-requests": SECURE_SSL_REDIRECT,
    },
}


# Applications

INSTALLED_APPS = [
    "s3kit",  # first: its commands replace Django's, and other apps copy the STATIC_URL that it sets
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "s3kit.uploads",
    "django.contrib.staticfiles",
    "axes",
    "users",
    "gallery",
]

MIDDLEWARE = [
    "config.middleware.health",
    "log_request_id.middleware.RequestIDMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "s3kit.csp.SourcesMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.headers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "s3kit.serving.bodies.limit",  # after the user is known, and before anything reads a body
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context_processors.site",
            ],
        },
    },
]


# Database

with valid("DATABASE_URL", "postgres://user:password@host:5432/name, with % codes for special characters"):
    DATABASES = {
        "default": database(env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}"))
    }

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# Users

AUTH_USER_MODEL = "users.User"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]

# django-axes logs failed logins, and locks a username for one IP address. The user can still log in from others.
AXES_FAILURE_LIMIT = 10
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_SENSITIVE_PARAMETERS: list[str] = []  # log the username and address; the password is never logged
AXES_DISABLE_ACCESS_LOG = True  # don't store who logged in and when
AXES_CLIENT_IP_CALLABLE = "s3kit.serving.addresses.client_address"

# The number of proxies that append the client's address to X-Forwarded-For. A visitor can send that header too.
with valid("DJANGO_PROXIES", "1"):
    AXES_IPWARE_PROXY_COUNT = env.int("DJANGO_PROXIES", default=0)

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"


# Internationalization

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True


# Static files and uploads

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
# `manage.py s3 manifest` writes this file into an image, so a server doesn't need S3 to start.
STATICFILES_MANIFEST = BASE_DIR / "staticfiles.json"

MEDIA_URL = "media/"
MEDIA_ROOT = BASE_DIR / "var" / "media"

# "local" uses the local S3 server, "true" the S3 that the AWS_* variables name, and "false" the local disk.
USE_S3: str | bool = env.choice("USE_S3", "local", "true", "false", default="local" if DEBUG else "true")
USE_S3 = USE_S3 if USE_S3 == "local" else USE_S3 == "true"

# boto3 finds credentials in the usual places: environment, .env, profile, role.
AWS_S3_REGION_NAME = env.text("AWS_S3_REGION_NAME")
AWS_S3_ENDPOINT_URL = env.text("AWS_S3_ENDPOINT_URL")
AWS_STATIC_BUCKET_NAME = env.text("AWS_STATIC_BUCKET_NAME")
AWS_EXPECTED_BUCKET_OWNER = env.text("AWS_EXPECTED_BUCKET_OWNER")
AWS_TRUSTED_ACCOUNTS = env.texts("AWS_TRUSTED_ACCOUNTS")
with valid("AWS_QUERYSTRING_EXPIRE", "3600"):
    AWS_QUERYSTRING_EXPIRE = env.int("AWS_QUERYSTRING_EXPIRE", default=3600)
AWS_CLOUDFRONT_DISTRIBUTION_ARN = env.text("AWS_CLOUDFRONT_DISTRIBUTION_ARN")
AWS_CLOUDFRONT_KEY_ID = env.text("AWS_CLOUDFRONT_KEY_ID")
AWS_CLOUDFRONT_KEY = env.text("AWS_CLOUDFRONT_KEY")

if USE_S3:
    _required = ["AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"]
    env.require(*_required, hint="They are required unless USE_S3=false.")
    STORAGES: dict[str, Any] = {
        "default": {
            "BACKEND": "config.storages.MediaStorage",
            "OPTIONS": {
                "bucket_name": env.text("AWS_MEDIA_BUCKET_NAME"),
                "access": env.text("AWS_MEDIA_ACCESS", "private"),
                "custom_domain": env.text("AWS_MEDIA_CUSTOM_DOMAIN"),
                "versioning": env.bool("AWS_MEDIA_VERSIONING", default=False),
            },
        },
        "staticfiles": {
            "BACKEND": "config.storages.StaticStorage",
            "OPTIONS": {
                "bucket_name": AWS_STATIC_BUCKET_NAME,
                "custom_domain": env.text("AWS_STATIC_CUSTOM_DOMAIN"),
            },
        },
    }
else:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }


# Email. Django 6.1 replaces the EMAIL_* settings with MAILERS, which 5.2 does not have.

with valid("EMAIL_URL", "smtp+tls://user:password@smtp.example.com:587"):
    _email = env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25")
_email["EMAIL_TIMEOUT"] = 10  # seconds; by default Django waits forever for a mail server
if django.VERSION >= (6, 1):
    MAILERS = {"default": mailer(_email)}
else:
    vars().update(_email)


# Logging

LOGGING = logs.configuration(env.choice("DJANGO_LOG_FORMAT", "plain", "json", default="plain"))

LOG_REQUEST_ID_HEADER = "HTTP_X_REQUEST_ID"
GENERATE_REQUEST_ID_IF_NOT_IN_HEADER = True
REQUEST_ID_RESPONSE_HEADER = "X-Request-ID"


# Your own settings go here.
