"""Trains the same project with Loopwright's own loop and with PyTorch, in one process, two, and on two "machines", and
compares the curves and what the adapters answer; kills a run and lets it go on.

Arguments: a folder to work in. Runs in the Python with PyTorch, which is also the one that trains. Prints one line that
begins with `torch: `.
"""

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from project import LOOP, ask, live_model

PROGRAM = os.environ["LOOPWRIGHT_BIN"]
# Both sides compute in f32 with sums in different orders; 20 steps apart, that has not grown beyond these.
CURVES_GAP_MAX = 1e-3
LOGITS_GAP_MAX = 1e-3
STEPS = 20
# Long enough to be stopped in its midst.
STEPS_STOPPED = 200
# Rows of a pass that do not deal evenly to two processes, several passes a step, and a last step that is short.
SETTINGS = """
[train.support]
vocab_size = 400
hidden_size = 32
n_layers = 2
n_heads = 2
context_tokens = 128
pretrain_epochs = 2
max_steps = {steps}
lr = 1e-2
batch_size = 7
gradient_accumulation_steps = 2
eval_steps = 10
checkpoint_every_steps = 5
weight_decay = 0.01
lora_r = 8
lora_alpha = 16.0
"""
SECONDS_MAX = 600

warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
here, work = Path(__file__).parent, Path(sys.argv[1]).resolve()


def run(folder, *argv):
    command = [PROGRAM, *argv, "--project", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done


def write_settings(folder, more, steps=STEPS):
    before = (here / "project.toml").read_text().split("[train.support]")[0]
    (folder / "loopwright.toml").write_text(before + SETTINGS.format(steps=steps) + more)


def with_torch(**settings):
    pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in dict(python=sys.executable, **settings).items())
    return f'backend = "torch"\ntorch = {{{pairs}}}\n'


def copy(name, more, steps=STEPS):
    """A copy of the project with a base, in which other hands train."""
    folder = work / name
    shutil.copytree(work / "project", folder)
    write_settings(folder, more, steps)
    return folder


def trained(folder):
    """Version, run and curves of a fine-tuning."""
    version = ask(str(folder), "train")[1]
    return dict(version=version, **run_of(folder, version["run"]))


def run_of(folder, run_id):
    record = next(record for record in ask(str(folder), "runs") if record["id"] == run_id)
    curves = {}
    with sqlite3.connect(f"file:{folder}/.loopwright/records.db?mode=ro", uri=True) as records:
        for name, step, value in records.execute(
            "SELECT name, step, value FROM run_metrics WHERE run = ? ORDER BY name, step", (run_id,)
        ):
            curves.setdefault(name, {})[step] = value
    return dict(run=record, curves=curves)


def compare(what, ours, theirs, after=0):
    """The largest relative difference between two runs' curves, after a step."""
    gaps = [0.0]
    for name in ("train_loss", "validation_loss", "learning_rate", "gradient_norm"):
        a, b = ({step: it["curves"][name][step] for step in it["curves"][name] if step > after} for it in (ours, theirs))
        assert a.keys() == b.keys() and a, f"{what}: {name} has steps {sorted(a)} and {sorted(b)}"
        for step in a:
            gap = abs(a[step] - b[step]) / abs(a[step])
            limit = 1e-12 if name == "learning_rate" else CURVES_GAP_MAX * (10 if name == "gradient_norm" else 1)
            assert gap <= limit, f"{what}: {name} at step {step}: {a[step]} and {b[step]}"
            gaps.append(0.0 if name == "gradient_norm" else gap)
    for key in ("model", "kind", "base", "parent", "dataset", "n_parameters", "state"):
        assert ours["version"][key] == theirs["version"][key], f"{what}: the versions' {key} differ"
    return max(gaps)


def logits(folder, has_adapter=True):
    """What the version answers, as PEFT and transformers compute it."""
    objects = folder / ".loopwright" / "objects" / "models"
    own = objects / LOOP / "1"
    base = objects / f"{LOOP}-base" / "1" if has_adapter else own
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if has_adapter:
        model = PeftModel.from_pretrained(model, own)
    tokens = torch.randint(0, 300, (4, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(input_ids=tokens).logits


def gap(folder, other, **how):
    difference = (logits(folder, **how) - logits(other, **how)).abs().max().item()
    assert difference < LOGITS_GAP_MAX, f"{folder.name} and {other.name}: logits differ by {difference}"
    return difference


def left_running(folder):
    """Processes that still work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.extend([path.parent.name] if str(folder).encode() in path.read_bytes() else [])
        except OSError:
            pass
    return found


def until(what, happens):
    end = time.monotonic() + SECONDS_MAX
    while not happens():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.1)


def killed(name, settings, number):
    """A run that is stopped by a signal in its midst, and started again."""
    folder = copy(name, settings, steps=STEPS_STOPPED)
    command = [PROGRAM, "train", "--project", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = lambda: list(folder.glob(".loopwright/objects/**/step-*"))
    until("a checkpoint", lambda: checkpoints() or process.poll() is not None)
    process.send_signal(number)
    process.wait(SECONDS_MAX)
    until("the processes end", lambda: not left_running(folder))
    at = max((int(path.name.removeprefix("step-")) for path in checkpoints()), default=STEPS_STOPPED)
    assert 0 < at < STEPS_STOPPED, f"{name}: the run was at its end before it was stopped"
    return folder, trained(folder), at


work.mkdir(exist_ok=True)
project = work / "project"
subprocess.run([PROGRAM, "init", str(project)], check=True, capture_output=True)
write_settings(project, "")
subprocess.run([sys.executable, here / "write_sources.py", project / "sources" / "messages.csv"], check=True)
run(project, "data", "import")
run(project, "data", "curate")
run(project, "train", "--base-only")

# An adapter.
ours_at = copy("native", "")
ours = trained(ours_at)
worst_curve = worst_logits = 0.0
for n in (1, 2):
    folder = copy(f"processes-{n}", with_torch(nproc_per_node=n))
    theirs = trained(folder)
    assert theirs["run"]["environment"]["processes"] == str(n), theirs["run"]["environment"]
    assert theirs["run"]["environment"]["torch"] == torch.__version__, theirs["run"]["environment"]
    worst_curve = max(worst_curve, compare(f"{n} processes", ours, theirs))
    worst_logits = max(worst_logits, gap(ours_at, folder))
assert ours["curves"]["train_loss"][STEPS] < 0.9 * ours["curves"]["train_loss"][1], "nothing was learned"

# It is as ours: judged, packaged, served, looked at. The same small project as for the orchestrators, and its gate.
served = work / "served"
shutil.copytree(project, served)
settings = (here / "project.toml").read_text()
(served / "loopwright.toml").write_text(settings.replace("[train.support]", "[train.support]\n" + with_torch(nproc_per_node=2)))
run(served, "run", "deploy")
model = live_model(str(served))
assert [version["model"] for version in ask(str(served), "models") if version["kind"] == "adapter"] == [model], model
finding = next(finding for finding in ask(str(folder), "doctor", "--port", "0") if finding["part"] == "pytorch")
assert finding["health"] == "ok" and torch.__version__ in finding["seen"], finding

# The whole base.
full = 'method = "full"\n'
whole_at, whole_there = copy("native-full", full), copy("processes-2-full", full + with_torch(nproc_per_node=2))
whole = compare("the whole base", trained(whole_at), trained(whole_there))
worst_logits = max(worst_logits, gap(whole_at, whole_there, has_adapter=False))

# Two machines, both of which are this one. What the second one types is told.
folder = copy("machines", with_torch(nnodes=2, rdzv_endpoint="127.0.0.1:29531"))
command = [PROGRAM, "train", "--project", str(folder), "--json"]
first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
line = next(line for line in first.stderr if "on machine 2 of 2" in line)
second = subprocess.Popen(shlex.split(line.split(": ", 1)[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
out, says = first.communicate(timeout=SECONDS_MAX)
assert first.returncode == 0 and second.wait(SECONDS_MAX) == 0, says
machines = dict(version=json.loads(out)[1], **run_of(folder, json.loads(out)[1]["run"]))
assert machines["run"]["environment"]["processes"] == "2", machines["run"]["environment"]
worst_curve = max(worst_curve, compare("two machines", ours, machines))

# Stopped, and gone on with: the same weights as without a stop.
two = with_torch(nproc_per_node=2)
straight = trained(copy("straight", two, steps=STEPS_STOPPED))
weights = lambda folder: load_file(folder / ".loopwright/objects/models" / LOOP / "1/adapter_model.safetensors")
through = weights(work / "straight")
at = []
for number in (signal.SIGKILL, signal.SIGTERM):
    folder, again, step = killed(f"stopped-{number}", two, number)
    # Points that waited to be written when the program was killed are lost.
    compare("a stopped run", straight, again, after=step)
    for name, tensor in weights(folder).items():
        assert torch.equal(tensor, through[name]), f"stopped at step {step}: {name} differs"
    at.append(step)

print(
    f"torch: an adapter trained by PyTorch in 1 and 2 processes and on 2 machines has our curves over {STEPS} steps "
    f"(largest relative difference {worst_curve:.1e}; of a whole base {whole:.1e}) and gives our logits "
    f"(largest difference {worst_logits:.1e}); runs killed at step {at[0]} and asked to stop at step {at[1]} left no "
    "process and went on to the same weights, bit for bit"
)
