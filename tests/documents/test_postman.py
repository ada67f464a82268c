"""The Postman collection, run from top to bottom by newman against a live MobileSD."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from mobilesd.schema.tour import TOUR
from tests.processes.installation import ROOT, Api, Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

COLLECTION = ROOT / "docs/api/mobilesd.postman_collection.json"
# Where .ci/run puts it; it belongs to no requirements file.
NEWMAN = (
    os.environ.get("NEWMAN")
    or shutil.which("newman")
    or shutil.which(ROOT / ".venv/newman/node_modules/.bin/newman")
)


# Only at home: where all is tested, a collection that nobody ran would be taken for a good one.
@pytest.mark.skipif(
    NEWMAN is None and os.environ.get("CI") != "true",
    reason="newman is not installed (.ci/run does it)",
)
def test_every_request_of_the_collection_passes(install: Callable[..., Installation], tmp_path):
    assert NEWMAN is not None, "newman is not installed: .ci/run does it"
    with install() as inst:
        key = inst.create_key("--scopes", "admin,jobs:all")
        boss = Api(inst.url, key)
        inst.fake("gpu", seconds=0.05)
        order = {"generation_params": {"width": 64, "height": 64, "steps": 1}}
        job = boss.post("/api/v2/generate", json=order).json()["mobilesd_job_id"]
        status = f"/api/v2/jobs/{job}/status?wait=5"
        done = eventually(lambda: boss.get(status).json()["job"]["result_details"], 60, "a picture")
        variables = {"baseUrl": inst.url, "apiKey": key, "image_id": done["image_ids"][0]}
        report = tmp_path / "report.json"
        command = [NEWMAN, "run", str(COLLECTION), "--reporters", "cli,json"]
        command += ["--reporter-json-export", str(report), "--timeout-request", "20000"]
        for name, value in variables.items():
            command += ["--env-var", f"{name}={value}"]
        for folder in TOUR:
            command += ["--folder", folder]
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=170, stdin=subprocess.DEVNULL
        )
        assert run.returncode == 0, run.stdout + run.stderr
        found = json.loads(report.read_text())["run"]
        assert found["stats"]["requests"]["total"] == sum(len(steps) for steps in TOUR.values())
        assert found["stats"]["assertions"]["total"] > 2 * found["stats"]["requests"]["total"]
        assert not found["failures"]
