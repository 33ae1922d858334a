"""What the checks of all Python clients share."""

import json
import os
import traceback

import httpx2 as httpx

SIM = os.environ["SIM_URL"]


def rejected(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"the call should have failed with {kind.__name__}")


def seen(conditions, wait):
    """Waits until the simulator has counted, and fails if it does not within the time."""
    res = httpx.get(f"{SIM}/simulator/stats?{conditions}&wait={wait}", timeout=30)
    assert res.status_code == 200, f"the provider did not see {conditions} within {wait}: {res.text}"


def reset():
    httpx.delete(f"{SIM}/simulator/stats")


def run(checks):
    """Runs the checks one after the other. Each prints one line of JSON: its name, whether it held, and why not."""
    for check in checks:
        result = {"check": check.__name__, "ok": True}
        try:
            check()
        except BaseException:
            result.update(ok=False, why=traceback.format_exc(limit=3))
        print(json.dumps(result), flush=True)
    print(json.dumps({"done": len(checks)}), flush=True)
