"""The small project as its own program shows it: what an orchestrator has really done to it."""

import json
import os
import subprocess

STAGES = ["collect", "curate", "train", "judge", "gate", "package", "deploy"]
LOOP = "support"
N_EVENTS_MAX = 100_000


def ask(folder, *argv):
    """The answer of a command of `loopwright` about the project in `folder`."""
    command = [os.environ["LOOPWRIGHT_BIN"], *argv, "--project", folder, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def stages_begun(folder):
    """The stages whose work was begun, in order. One that was up to date is not among them."""
    events = ask(folder, "audit", "list", "--limit", str(N_EVENTS_MAX))
    about = [event["about"]["id"] for event in reversed(events) if event["kind"] == "step.started"]
    return [step.removeprefix(f"{LOOP}/") for step in about]


def live_model(folder):
    """The model behind the loop's route, or None."""
    routes = [route for route in ask(folder, "routes") if route["name"] == LOOP]
    return routes[0]["variants"][0]["model"] if routes else None


def expect(what, expected, got):
    if expected != got:
        raise SystemExit(f"{what}: expected {expected}, got {got}")
