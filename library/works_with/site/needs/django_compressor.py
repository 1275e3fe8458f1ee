"""Compress offline, before the files are published: `manage.py compress`, then `manage.py collectstatic`.

What is compressed on demand would stay on the server's disk. In `{% compress %}`, name files by
`{% get_static_prefix %}css/site.css`: they are looked for under their plain names. The names of the outcome have a hash
of its content, so add `"prehashed": ["CACHE/css/*", "CACHE/js/*"]` to the options of `"staticfiles"`.
"""

from works_with.site.paths import BASE_DIR

COMPRESS_OFFLINE = True
COMPRESS_ROOT = BASE_DIR / "compressed"
COMPRESS_FILTERS = {
    "css": ["compressor.filters.css_default.CssRelativeFilter", "compressor.filters.cssmin.rCSSMinFilter"],
    "js": ["compressor.filters.jsmin.rJSMinFilter"],
}
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "compressor.finders.CompressorFinder",
]
STATICFILES_DIRS = [("CACHE", COMPRESS_ROOT / "CACHE")]
