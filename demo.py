"""What `make demo` does in its project before the site starts: a staff login, a picture, checks, what to do next.

The Makefile runs it in `manage.py shell`, so that Django starts once.
"""

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management import call_command

users = get_user_model().objects
if users.filter(username="demo").exists():
    login = "the password shown at the first start (rm -r demo makes another)"
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
print("4/4 Check the buckets, as the site and as a visitor use them.", flush=True)
call_command("s3", "doctor", "--local")
print(f"""
Look at it  http://127.0.0.1:{os.environ["DEMO_PORT"]}/
Add to it   log in there as demo, with {login}
Stop it     Ctrl-C; make demo starts it again, and rm -r demo removes it
Your own    {os.environ["DEMO_UVX"]} cookiecutter . --output-dir ..
""")
