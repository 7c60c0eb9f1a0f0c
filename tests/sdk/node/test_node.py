"""Runs the Node suites with node's own test runner; one pytest test for each file."""

import contextlib
import subprocess
from pathlib import Path

import pytest
import rough
from cutting import cutting

HERE = Path(__file__).parent


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", ["together.test.mjs", "together.refusals.test.mjs", "openai.test.mjs"])
def test_suite(dedi, started, own, hardware, modules, suite):
    most = max(dedi.kinds(hardware), key=lambda it: it["specs"]["gpu_count"])["id"]
    env = dedi.client_env() | {
        "OPENAI_BASE_URL": dedi.base_url,
        "OPENAI_API_KEY": dedi.key,
        "DEDI_STARTED": started["id"],
        "DEDI_STARTED_NAME": started["name"],
        "DEDI_STOPPED": own()["id"],
        "DEDI_HARDWARE": hardware,
        "DEDI_ALL_DEVICES": most,
    }
    with contextlib.ExitStack() as proxies:
        lost = [proxies.enter_context(cutting(dedi, how)) for how in ("at once", "unread", "swallowed")]
        env["DEDI_CUT_URLS"] = " ".join(it.base_url for it in lost)
        done = subprocess.run(
            ["node", "--test", suite], cwd=HERE, env=env, capture_output=True, text=True, timeout=300
        )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", ["together.fields.test.mjs", "openai.fields.test.mjs"])
def test_fields(dedi, rough_dedi, started, embedder, modules, suite):
    with contextlib.ExitStack() as endpoints:
        # The second takes what devices there are one after the other: asleep, this one holds none.
        cold = endpoints.enter_context(rough.cold(rough_dedi))
        full = endpoints.enter_context(rough.full(rough_dedi))
        mortal = endpoints.enter_context(rough.endpoint(rough_dedi, "slow-tokens.101"))
        env = dedi.client_env() | {
            "OPENAI_BASE_URL": dedi.base_url,
            "OPENAI_API_KEY": dedi.key,
            "DEDI_STARTED": started["id"],
            "DEDI_EMBEDDER": embedder["id"],
            "DEDI_ROUGH_URL": rough_dedi.base_url,
            "DEDI_ROUGH_KEY": rough_dedi.key,
            "DEDI_COLD": cold["id"],
            "DEDI_FULL": full["id"],
            "DEDI_MORTAL": mortal["id"],
            "DEDI_MORTAL_PID": str(rough.engine_pid(rough_dedi, mortal)),
        }
        done = subprocess.run(
            ["node", "--test", suite], cwd=HERE, env=env, capture_output=True, text=True, timeout=300
        )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
