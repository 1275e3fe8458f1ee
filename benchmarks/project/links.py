"""Print, as JSON, the microseconds per signed link for each of 40 pages of 100 links.

python links.py storage    by Django's default storage
python links.py boto3      by a client of boto3's alone
"""

import json
import os
import sys
import time

import django

PAGES = 40
LINKS = 100


def main() -> None:
    """Measure each page separately; the first one includes what a process does only once."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    from django.conf import settings
    from django.core.files.storage import default_storage

    if sys.argv[1] == "boto3":
        import boto3
        from botocore.config import Config

        s3 = boto3.client(
            "s3",
            region_name=settings.REGION,
            endpoint_url=settings.ENDPOINT,
            config=Config(signature_version="s3v4"),
        )

        def link(name: str) -> str:
            target = {"Bucket": settings.MEDIA_BUCKET, "Key": f"media/{name}"}
            return str(s3.generate_presigned_url("get_object", Params=target, ExpiresIn=settings.EXPIRE))

    else:
        link = default_storage.url

    taken = []
    for page in range(PAGES):
        names = [f"photos/2026/a picture {page} of {number}-7k2m0a9xw4pqz.jpg" for number in range(LINKS)]
        began = time.perf_counter()
        links = [link(name) for name in names]
        taken.append((time.perf_counter() - began) / LINKS * 1e6)
        if not all("X-Amz-Signature=" in url for url in links) or len(set(links)) < LINKS:
            raise SystemExit(f"These are no signed links: {links[0]}")
    print(json.dumps(taken))  # noqa: T201


main()
