"""The site that `benchmarks.uploads` measures: two forms with file fields, served by gunicorn."""
