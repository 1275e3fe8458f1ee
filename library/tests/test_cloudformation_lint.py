"""AWS's linter accepts the templates of all modes, and CloudFront's function runs in a JavaScript engine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from s3kit.buckets.cloudformation import template
from tests.test_cloudformation import REGIONS, modes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the templates of many modes, in one subfolder per region.

    cfn-lint takes a fifth of a second per template, so of the sites with two storages, only every fifth is included.
    These still cover every combination of values of any three options. All sites with more storages are included.
    """
    folder = tmp_path_factory.mktemp("templates")
    for number, site in enumerate(modes()):
        region = folder / site.locations[0].target.region
        region.mkdir(exist_ok=True)
        if number % 5 and len(site.locations) == 2:
            continue
        (region / f"{number}.json").write_text(json.dumps(template(site), indent=2), "utf-8")
    return folder


def findings(files: str, *options: str) -> list[dict[str, Any]]:
    """Return cfn-lint's errors and warnings for files."""
    # cfn-lint includes its schemas. If it requested others, this proxy would fail.
    offline = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    program = str(Path(sys.executable).with_name("cfn-lint"))
    done = subprocess.run(
        [program, "--format", "json", *options, "--", files],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert bool(found) == bool(done.returncode)
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_templates_of_all_modes_pass_cfn_lint(templates: Path, region: str) -> None:
    assert len(list((templates / region).glob("*.json"))) >= (49 if region == "eu-central-1" else 9)
    assert findings(str(templates / region / "*.json"), "--regions", region) == []


def with_distribution(templates: Path) -> dict[str, Any]:
    """Return a template with a resource of every type."""
    for file in sorted((templates / "eu-central-1").glob("*.json")):
        text = file.read_text("utf-8")
        if "AWS::CloudFront::PublicKey" in text:
            return dict(json.loads(text))
    raise AssertionError("no template has a key")


def bucket(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["Resources"]["StaticBucket"]["Properties"]
    return found


def distribution(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    return found


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no such property": (lambda made: bucket(made).update(Versioning="Enabled"), "E3002"),
    "no such value": (
        lambda made: bucket(made)["OwnershipControls"].update(Rules=[{"ObjectOwnership": "Mine"}]),
        "E3030",
    ),
    "missing property": (lambda made: distribution(made).pop("DefaultCacheBehavior"), "E3003"),
    "no such resource": (
        lambda made: made["Outputs"]["DomainName"].update(Value={"Fn::GetAtt": ["Nothing", "DomainName"]}),
        "E6101",
    ),
    "a warning": (lambda made: made["Parameters"].update(Unused={"Type": "String"}), "W2001"),
}


def test_cfn_lint_detects_invalid_templates(templates: Path, tmp_path: Path) -> None:
    made = with_distribution(templates)
    types = {each["Type"] for each in made["Resources"].values()}
    assert len(types) == 9
    for name, (spoil, _rule) in WRONG.items():
        copy = json.loads(json.dumps(made))
        spoil(copy)
        (tmp_path / f"{name}.json").write_text(json.dumps(copy), "utf-8")
    (tmp_path / "right.json").write_text(json.dumps(made), "utf-8")
    # Without a region, it uses us-east-1.
    found = {(Path(each["Filename"]).stem, each["Rule"]["Id"]) for each in findings(f"{tmp_path}/*.json")}
    assert found == {(name, rule) for name, (_spoil, rule) in WRONG.items()}


def test_cloudfront_function_responds_with_404(templates: Path) -> None:
    """CloudFront's guide: if a function returns an object with a statusCode, that is the response instead of S3's."""
    code = with_distribution(templates)["Resources"]["NothingElse"]["Properties"]["FunctionCode"]
    event = {"version": "1.0", "request": {"method": "GET", "uri": "/pending/a.jpg", "headers": {}}}
    found = [
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    ]
    assert found, "No Chromium on this machine (Debian and Ubuntu: apt install chromium)"
    with sync_playwright() as playwright:
        # Chromium needs --no-sandbox as root.
        chromium = playwright.chromium.launch(
            executable_path=found[0], args=["--disable-gpu", "--no-sandbox"]
        )
        answer = chromium.new_page().evaluate(f"event => {{ {code}; return handler(event); }}", event)
        chromium.close()
    assert answer == {"statusCode": 404, "statusDescription": "Not Found"}
