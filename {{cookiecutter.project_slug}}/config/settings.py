"""The settings of the site, in the order of Django's own.

What differs between machines is a variable of the environment (README.md lists them all);
with none set, the site runs in debug mode on SQLite and local files.
"""

from pathlib import Path

import django
from csp.constants import NONE, SELF

from config import logs
from config.env import MAIL_TIMEOUT, Env, database, env_file, mailer
from s3.origins import DIRECT_UPLOADS, STATIC_FILES, UPLOADS

BASE_DIR = Path(__file__).resolve().parent.parent

# What the site writes while it runs at a desk: uploads, collected files.
VAR_DIR = BASE_DIR / "var"

env = Env.load(env_file())

SITE_NAME = env.text("DJANGO_SITE_NAME", default="My Site")


# Security: without a secret key this can only be somebody's desk, so debug is on; a server that has a key
# and forgets DJANGO_DEBUG is in production.

DEBUG = env.bool("DJANGO_DEBUG", default="DJANGO_SECRET_KEY" not in env.ENVIRON)

if not DEBUG:
    env.require("DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", reason="With debug off")

SECRET_KEY = env.text(
    "DJANGO_SECRET_KEY", default="for-debug-only: a site with debug off demands a key of its own"
)

# With debug on, Django itself allows localhost and nothing else.
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=[])

# Where visitors' browsers find the site, with scheme: https://www.example.com
SITE_ORIGINS = env.list("DJANGO_SITE_ORIGINS", default=[])
CSRF_TRUSTED_ORIGINS = SITE_ORIGINS

# One switch for a site behind plain http: it also governs secure cookies and HSTS.
SECURE_SSL_REDIRECT = env.bool("DJANGO_SECURE_SSL_REDIRECT", default=not DEBUG)
SESSION_COOKIE_SECURE = SECURE_SSL_REDIRECT
CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_SSL_REDIRECT
# The browsers' preload list is hard to leave and open to anybody's request once the header allows it: that is
# the owner's decision, so Django's advice to allow it is silenced.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# The header by which a proxy says that the visitor came over https, such as "X-Forwarded-Proto". Off unless
# set: where no proxy overwrites it, any visitor could send it.
if _header := env.text("DJANGO_SECURE_PROXY_SSL_HEADER", default=""):
    SECURE_PROXY_SSL_HEADER = ("HTTP_" + _header.upper().replace("-", "_"), "https")

SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# What pages may load, and from where; the three words stand for the addresses of the files, on S3 or here.
# Nothing inline: a script or a style in the page's own text is what an injection would be.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        # SELF is for the admin's list of translations, the only script that the site itself makes.
        "script-src": [SELF, STATIC_FILES],
        "style-src": [STATIC_FILES],
        "font-src": [STATIC_FILES],
        "img-src": [SELF, STATIC_FILES, UPLOADS, "blob:"],  # blob: is a chosen file before it is sent
        "media-src": [UPLOADS, "blob:"],
        "connect-src": [SELF, DIRECT_UPLOADS],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "upgrade-insecure-requests": SECURE_SSL_REDIRECT,
    },
}


# Applications

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "s3",  # before staticfiles, whose collectstatic it extends
    "django.contrib.staticfiles",
    "config",  # for manage.py release
    "users",
    "gallery",
]

MIDDLEWARE = [
    "config.health.health",  # first: load balancers ask over plain http and by address
    "config.logs.request_id",
    "django.middleware.security.SecurityMiddleware",
    "config.headers.PageHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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

WSGI_APPLICATION = "config.wsgi.application"


# Database: SQLite, or postgres://user:password@host:5432/name

DATABASES = {"default": database(env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}"))}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# Users

AUTH_USER_MODEL = "users.User"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"


# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True


# Files: static ones and uploads live on S3 where USE_S3 is on, each in its bucket; else on local disk.
# Credentials never pass through here: boto3 finds them in its own variables, profile or role.

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Written by `manage.py s3 manifest` when an image is built; a web process then asks S3 for nothing to start.
STATICFILES_MANIFEST = BASE_DIR / "staticfiles.json"

MEDIA_URL = "media/"
MEDIA_ROOT = VAR_DIR / "media"

USE_S3 = env.bool("USE_S3", default=not DEBUG)

AWS_S3_REGION_NAME = env.text("AWS_S3_REGION_NAME", default="")
AWS_STATIC_BUCKET_NAME = env.text("AWS_STATIC_BUCKET_NAME", default="")
AWS_MEDIA_BUCKET_NAME = env.text("AWS_MEDIA_BUCKET_NAME", default="")
AWS_MEDIA_ACCESS = env.text("AWS_MEDIA_ACCESS", default="private")
AWS_QUERYSTRING_EXPIRE = env.int("AWS_QUERYSTRING_EXPIRE", default=3600)
AWS_MEDIA_VERSIONING = env.bool("AWS_MEDIA_VERSIONING", default=False)
AWS_S3_ENDPOINT_URL = env.text("AWS_S3_ENDPOINT_URL", default="")
AWS_EXPECTED_BUCKET_OWNER = env.text("AWS_EXPECTED_BUCKET_OWNER", default="")
AWS_STATIC_CUSTOM_DOMAIN = env.text("AWS_STATIC_CUSTOM_DOMAIN", default="")
AWS_MEDIA_CUSTOM_DOMAIN = env.text("AWS_MEDIA_CUSTOM_DOMAIN", default="")
AWS_CLOUDFRONT_DISTRIBUTION_ARN = env.text("AWS_CLOUDFRONT_DISTRIBUTION_ARN", default="")
AWS_CLOUDFRONT_KEY_ID = env.text("AWS_CLOUDFRONT_KEY_ID", default="")
AWS_CLOUDFRONT_KEY = env.text("AWS_CLOUDFRONT_KEY", default="")

if USE_S3:
    env.require(
        "AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME", reason="With USE_S3 on"
    )
    STORAGES = {
        "default": {"BACKEND": "s3.media.MediaStorage"},
        "staticfiles": {"BACKEND": "s3.static.StaticStorage"},
    }
else:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }


# Email: smtp+tls://user:password@host:587; with debug on it is printed. Django 6.1 deprecates the EMAIL_*
# settings for MAILERS, which 5.2 does not know.

_email = env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25")
if django.VERSION >= (6, 1):
    MAILERS = {"default": mailer(_email)}
else:
    vars().update(_email)
    EMAIL_TIMEOUT = MAIL_TIMEOUT


# Logging: everything to stderr, where the service manager picks it up, as text or as one JSON object a line.

LOG_FORMAT = env.text("DJANGO_LOG_FORMAT", default="plain")
LOGGING = logs.configuration(LOG_FORMAT)


# Settings of your own: from here on, where no update of the template changes a line.
