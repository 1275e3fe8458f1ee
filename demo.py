"""Prepare the site that `make demo` starts: create a staff user, add a picture, check the buckets, print next steps.

The Makefile runs this file in `manage.py shell`, so that Django starts only once.
"""

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management import call_command

users = get_user_model().objects
if users.filter(username="demo").exists():
    login = "the password from the first start (to get a new one, run rm -r demo)"
else:
    password = secrets.token_urlsafe(15)
    users.create_superuser("demo", password=password)
    login = f"the password {password}, which is not shown again"
call_command(
    "add_picture",
    str(Path(__file__).parent / "docs" / "images" / "hills.jpg"),
    "Hills in the evening",
    if_empty=True,
)
print("4/4 Check the buckets, as the site and its visitors use them.", flush=True)
call_command("s3", "doctor", "--local")
print(f"""
Open it     http://127.0.0.1:{os.environ["DEMO_PORT"]}/
Log in      as demo, with {login}
Stop it     Ctrl-C; make demo starts it again, and rm -r demo removes it
Your own    {os.environ["DEMO_UVX"]} cookiecutter . --output-dir ..
""")
