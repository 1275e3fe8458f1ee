"""Compress offline, before you publish the files: run `manage.py compress`, then `manage.py collectstatic`. Files that
are compressed on demand would stay on the server's disk.

In `{% compress %}`, write `{% get_static_prefix %}css/site.css`, because compressor looks for files under their
original names. The compressed files have a hash of their content in their names, so add
`"prehashed": ["CACHE/css/*", "CACHE/js/*"]` to the options of `"staticfiles"`.
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
