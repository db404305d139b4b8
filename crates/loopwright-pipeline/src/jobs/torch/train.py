"""Takes the steps of a Loopwright run with PyTorch and PEFT, in one process or in several.

Loopwright writes a folder and starts this file under torchrun:

    python -m torch.distributed.run --nproc-per-node N train.py FOLDER

FOLDER holds `settings.json`; `base/`, a model in the layout of Hugging Face; `start/`, the adapter that learns, in PEFT's
(absent where the whole model learns); `examples.jsonl` and `validation.jsonl`, rows of tokens with those that count; and
`steps.jsonl`: which examples each step takes, in which forward passes, and at which rate. Nothing is drawn by chance here
but the masks of dropout.

The rows of each forward pass are dealt to the processes, and the gradients of all are added up. A step's loss is the mean
over every token that it predicts, wherever that token lies; their number stands in `steps.jsonl`, so each process divides
by it and the parts add up to the whole.

The first process tells, in JSON lines on its standard output, how far it is; whatever else is printed goes to standard error. Beside FOLDER it leaves checkpoints in
Loopwright's own format, each written whole and then renamed, and goes on from the last one that it finds. A SIGTERM, or
with `--watch-stdin` the end of standard input, makes all processes stop after the step that they are at.
"""

import argparse
import datetime
import fcntl
import json
import math
import os
import platform
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

# What libraries print must not stand between the lines that this file tells.
OUT = os.dup(1)
os.dup2(2, 1)
# Longest text in a line that is told: lines of several processes stay whole up to 4096 bytes (POSIX, PIPE_BUF).
MESSAGE_CHARS_MAX = 1000


def tell(**event):
    """One line, in one piece, so that lines of several processes do not mix."""
    try:
        os.write(OUT, (json.dumps(event, allow_nan=False) + "\n").encode())
    except BrokenPipeError:
        # Nobody listens any more. Standard input has ended, too, and a checkpoint is still to be written.
        pass


def tell_failure(kind, message):
    tell(event="failed", kind=kind, message=message[:MESSAGE_CHARS_MAX])


try:
    import peft
    import safetensors
    import torch
    import torch.distributed as dist
    import transformers
    from safetensors.torch import load_file, save_file
except ImportError as error:
    tell_failure("environment", f"{type(error).__name__}: {error}")
    sys.exit(1)

# Version of the checkpoints' format.
FORMAT = 1
# Checkpoints kept.
KEPT = 2
# Numbers whose gradients travel between the processes at a time.
BUCKET_NUMBERS = 1 << 25
# How long a process waits for another one that validates or writes a checkpoint.
PATIENCE = datetime.timedelta(hours=2)
# A process that was asked to stop and still runs after so many seconds ends by itself.
STOP_SECONDS_MAX = 300
# Examples of a failed step that its message names.
EXAMPLES_NAMED = 32


class Refused(Exception):
    """What cannot be gone on from, with its kind: `not_finite`, `diverged`, `checkpoint`, `model`, `environment`."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def device_of(wanted):
    """Where to train: `auto` takes the CUDA devices if there are any."""
    n_devices, n_processes = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if wanted == "cpu" or (wanted == "auto" and n_devices == 0):
        return "cpu"
    if n_devices < n_processes:
        there_are = f"PyTorch {torch.__version__} sees {n_devices} CUDA devices on this machine"
        raise Refused("environment", f"{there_are}, and `nproc_per_node` is {n_processes}")
    return "cuda"


class Processes:
    """The processes that train together, and this one's place among them."""

    def __init__(self, device):
        self.rank, self.n = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = torch.device(device, local) if device == "cuda" else torch.device(device)
        if device == "cuda":
            torch.cuda.set_device(self.device)
        if self.n > 1:
            dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)

    @property
    def is_first(self):
        return self.rank == 0

    def total(self, *numbers):
        """The sums of numbers over all processes."""
        if self.n == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def add_gradients(self, parameters):
        """Puts the sum of all processes' gradients in the place of each one's."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.n == 1:
            return
        bucket, n = [], 0
        for parameter in [*parameters, None]:
            if bucket and (parameter is None or n + parameter.numel() > BUCKET_NUMBERS):
                flat = torch.cat([grad.reshape(-1) for grad in bucket])
                dist.all_reduce(flat)
                for grad, part in zip(bucket, flat.split([grad.numel() for grad in bucket])):
                    grad.copy_(part.view_as(grad))
                bucket, n = [], 0
            if parameter is not None:
                bucket.append(parameter.grad)
                n += parameter.numel()

    def from_first(self, state, tensors):
        """What the first process has: a small object, and tensors in place."""
        if self.n == 1:
            return state
        box = [state]
        dist.broadcast_object_list(box, src=0)
        for tensor in tensors(box[0]):
            dist.broadcast(tensor, src=0)
        return box[0]

    def part_with(self):
        if self.n > 1:
            dist.barrier()
            dist.destroy_process_group()


class Stopping:
    """Whether somebody asked this process to stop."""

    def __init__(self, watch_stdin):
        self.asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.asked.set())
        if watch_stdin:
            threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """Standard input is held open by the program that started us, and ends with it."""
        while os.read(0, 1):
            pass
        self.asked.set()
        time.sleep(STOP_SECONDS_MAX)
        os._exit(75)


class Lines:
    """The JSON lines of a file, each read when it is asked for."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.places = [0]
        for line in self.file:
            self.places.append(self.places[-1] + len(line))
        self.places.pop()

    def __len__(self):
        return len(self.places)

    def __getitem__(self, number):
        self.file.seek(self.places[number])
        return json.loads(self.file.readline())


def texts_of(row):
    """The texts of a row and what counts in each. Those of a packed row are read apart, each from position 0."""
    edges = [0, *row["starts"], len(row["tokens"])]
    texts = ((row["tokens"][a:b], row["counts"][a:b]) for a, b in zip(edges, edges[1:]))
    return [(tokens, counts) for tokens, counts in texts if "1" in counts[1:]]


class Learner:
    """A model in which an adapter, or everything, learns."""

    def __init__(self, folder, settings, device):
        self.folder, self.device = folder, device
        self.has_adapter = (folder / "start").is_dir()
        self.autocast = settings["bf16"]
        config = transformers.AutoConfig.from_pretrained(folder / "base")
        # What Loopwright trains has no dropout but the adapter's.
        config.attention_dropout = 0.0
        # A base that only stands by may be kept in fewer bits.
        dtype = torch.bfloat16 if self.autocast and self.has_adapter else torch.float32
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "base", config=config, dtype=dtype, output_loading_info=True
        )
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if report[problem]:
                raise Refused("model", f"transformers reads the base otherwise: {problem}: {sorted(report[problem])}")
        if settings["gradient_checkpointing"]:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if self.has_adapter:
            model = peft.PeftModel.from_pretrained(model, folder / "start", is_trainable=True)
        self.model = model.to(device).train()
        learning = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.named = {name.replace(".default.", "."): parameter for name, parameter in learning}
        if self.has_adapter:
            self.take(load_file(folder / "start" / "adapter_model.safetensors"))
            if settings["gradient_checkpointing"]:
                # Without it nothing would lead from the frozen embedding to the blocks that are computed again.
                model.enable_input_require_grads()

    def take(self, weights):
        """Puts weights by their names in the place of those that learn."""
        if weights.keys() != self.named.keys():
            odd = sorted(weights.keys() ^ self.named.keys())
            raise Refused("model", f"PEFT and Loopwright see other weights to train: {odd[:4]}")
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.data = weights[name].to(self.device, torch.float32)

    def save(self, folder):
        """What learns, in the layout that Loopwright reads."""
        beside, weights = ("config.json", "model.safetensors")
        if self.has_adapter:
            beside, weights = ("adapter_config.json", "adapter_model.safetensors")
        shutil.copy(self.folder / ("start" if self.has_adapter else "base") / beside, folder / beside)
        save_file(
            {name: parameter.detach().cpu().contiguous() for name, parameter in self.named.items()},
            folder / weights,
            metadata={"format": "pt"},
        )

    def load(self, folder):
        self.take(load_file(folder / ("adapter_model.safetensors" if self.has_adapter else "model.safetensors")))

    def loss(self, texts):
        """The summed loss of every token that counts in some texts, and how many do."""
        longest = max(len(tokens) for tokens, _ in texts)
        tokens = torch.zeros(len(texts), longest, dtype=torch.long)
        counts = torch.zeros(len(texts), longest, dtype=torch.bool)
        for number, (row, which) in enumerate(texts):
            tokens[number, : len(row)] = torch.tensor(row)
            counts[number, : len(row)] = torch.tensor([one == "1" for one in which])
        counts = counts[:, 1:]
        # Padding stands behind what is read, where no token looks; logits are made only where some row counts.
        keep = counts.any(0).nonzero().flatten()
        counts, wanted = counts[:, keep], tokens[:, 1:][:, keep]
        tokens, counts, wanted, keep = (it.to(self.device) for it in (tokens, counts, wanted, keep))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            logits = self.model(input_ids=tokens[:, :-1], logits_to_keep=keep, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[counts].float(), wanted[counts], reduction="sum"), int(counts.sum())


class Optimizer:
    """AdamW with decay for matrices alone, and its state as Loopwright's optimiser keeps it."""

    def __init__(self, named, settings):
        self.named, self.clip = named, settings["grad_clip"]
        matrices = [parameter for parameter in named.values() if parameter.ndim > 1]
        others = [parameter for parameter in named.values() if parameter.ndim <= 1]
        groups = [dict(params=matrices, weight_decay=settings["weight_decay"]), dict(params=others, weight_decay=0.0)]
        self.adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=1.0,
            betas=(settings["adam_beta1"], settings["adam_beta2"]),
            eps=settings["adam_epsilon"],
        )

    def step(self, lr):
        """One step from the gradients that there are, which it uses up. Returns their norm before clipping."""
        norms = [torch.linalg.vector_norm(it.grad, dtype=torch.float64) for it in self.named.values()]
        norm = torch.stack(norms).square().sum().sqrt().item()
        if not math.isfinite(norm):
            return norm
        if self.clip is not None and norm > self.clip:
            for parameter in self.named.values():
                parameter.grad.mul_(self.clip / norm)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        self.adam.zero_grad()
        return norm

    def moments(self, step):
        """The tensors of its state, made if they are not there yet; none before the first step."""
        for parameter in self.named.values() if step > 0 else ():
            state = self.adam.state[parameter]
            if not state:
                state["step"] = torch.tensor(float(step))
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            yield state["exp_avg"]
            yield state["exp_avg_sq"]

    def save(self, path, step):
        # The count in two halves of 24 bits, which f32 holds exactly.
        tensors = {"n_steps": torch.tensor([float(step >> 24), float(step & 0xFFFFFF)])}
        for name, parameter in self.named.items():
            for kind in ("exp_avg", "exp_avg_sq"):
                tensors[f"{kind}.{name}"] = self.adam.state[parameter][kind].cpu().contiguous()
        save_file(tensors, path, metadata={"format": "pt"})

    def load(self, path, step):
        tensors = load_file(path)
        moments = self.moments(step)
        for name in self.named:
            for kind in ("exp_avg", "exp_avg_sq"):
                next(moments).copy_(tensors[f"{kind}.{name}"])


class Health:
    """What a run remembers of its losses, and decides by; the rules are those of Loopwright's own loop."""

    SMOOTHING, STEPS_MIN, RISE_FACTOR, RISE_MIN = 0.1, 20, 1.5, 1.5

    def __init__(self, settings, kept=None):
        self.patience, self.min_delta = settings["early_stopping_patience"], settings["early_stopping_min_delta"]
        self.kept = kept or dict(n_losses=0, smoothed=0.0, lowest=0.0, best=None, n_worse=0)

    def see(self, step, loss):
        kept = self.kept
        kept["n_losses"] += 1
        is_first = kept["n_losses"] == 1
        kept["smoothed"] = loss if is_first else kept["smoothed"] + self.SMOOTHING * (loss - kept["smoothed"])
        kept["lowest"] = loss if is_first else min(kept["lowest"], kept["smoothed"])
        smoothed, lowest = kept["smoothed"], kept["lowest"]
        is_far = smoothed > lowest * self.RISE_FACTOR and smoothed > lowest + self.RISE_MIN
        if kept["n_losses"] >= self.STEPS_MIN and is_far:
            raise Refused("diverged", f"the loss rose from {lowest:.3f} to {smoothed:.3f} by step {step}")

    def validate(self, step, loss):
        """Takes in a validation loss; says whether it is the best so far."""
        best = self.kept["best"]
        is_best = best is None or loss < best[1] - self.min_delta
        if is_best:
            self.kept.update(best=[step, loss], n_worse=0)
        else:
            self.kept["n_worse"] += 1
        return is_best

    @property
    def is_over(self):
        return self.patience > 0 and self.kept["n_worse"] >= self.patience


class Checkpoints:
    """The run's folder of checkpoints, which one process at a time may write to."""

    def __init__(self, folder, plan):
        self.folder, self.plan = folder, plan
        # A run that was given up may still be writing its last one.
        self.lock = open(folder / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def write(self, name, fill):
        """Fills a folder beside and renames it: it is whole or not there."""
        unfinished, finished = self.folder / f"unfinished-{name}", self.folder / name
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        fill(unfinished)
        for path in [*unfinished.iterdir(), unfinished]:
            sync(path)
        shutil.rmtree(finished, ignore_errors=True)
        unfinished.rename(finished)
        sync(self.folder)

    def write_step(self, state, learner, optimizer):
        def fill(folder):
            learner.save(folder)
            optimizer.save(folder / "optimizer.safetensors", state["step"])
            (folder / "state.json").write_text(json.dumps(dict(state, format=FORMAT, plan=self.plan), indent=2))

        self.write(f"step-{state['step']:08}", fill)
        for old in self.all()[:-KEPT]:
            shutil.rmtree(old)

    def all(self):
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def last(self):
        """The last one's state and folder, if there is one."""
        if not self.all():
            return None, None
        folder = self.all()[-1]
        state = json.loads((folder / "state.json").read_text())
        if state["format"] != FORMAT or state["plan"] != self.plan:
            raise Refused("checkpoint", f"the checkpoint `{folder}` is of another plan: remove it to start anew")
        return state, folder


def sync(path):
    """Waits until the disk has a file, or a folder's list of files."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def validation_loss(learner, processes, examples, batches):
    """The mean loss over the validation rows; none without rows."""
    learner.model.eval()
    loss, n = 0.0, 0
    with torch.no_grad():
        for batch in batches[processes.rank :: processes.n]:
            of_batch, n_of_batch = learner.loss([text for number in batch for text in texts_of(examples[number])])
            loss, n = loss + of_batch.item(), n + n_of_batch
    learner.model.train()
    loss, n = processes.total(loss, n)
    return loss / n if n else None


def gradients(learner, processes, examples, step):
    """Adds up the gradients of one step's rows that are this process's; returns their part of the loss."""
    loss = 0.0
    for number, rows in enumerate(step["passes"]):
        # Each pass begins at another process, so that a last short one is not always the same one's.
        mine = rows[(processes.rank + number) % processes.n :: processes.n]
        texts = [text for row in mine for text in texts_of(examples[row])]
        if texts:
            part = learner.loss(texts)[0] / step["n_predictions"]
            part.backward()
            loss += part.item()
    return loss


def train(folder, settings, processes, stopping):
    """All steps that are left, or as many as there is time for. Returns how it ended."""
    learner = Learner(folder, settings, processes.device)
    optimizer = Optimizer(learner.named, settings)
    checkpoints = Checkpoints(folder.parent, settings["plan"]) if processes.is_first else None
    state = dict(step=0, n_tokens=0, health=None)
    if processes.is_first:
        last, place = checkpoints.last()
        if last:
            state = {key: last[key] for key in state}
            learner.load(place)
            optimizer.load(place / "optimizer.safetensors", state["step"])
    learning = list(learner.named.values())
    at_first = lambda state: [*(it.data for it in learning), *optimizer.moments(state["step"])]
    state = processes.from_first(state, at_first)
    health = Health(settings, state["health"])
    examples, validation = Lines(folder / "examples.jsonl"), Lines(folder / "validation.jsonl")
    steps = Lines(folder / "steps.jsonl")
    if processes.is_first:
        packages = (torch, transformers, peft, safetensors)
        tell(
            event="begin", step=state["step"], n_processes=processes.n, device=processes.device.type,
            versions={"python": platform.python_version(), **{it.__name__: str(it.__version__) for it in packages}},
        )
    began, n_tokens_before = time.monotonic(), state["n_tokens"]
    while state["step"] < len(steps) and not health.is_over:
        step = steps[state["step"]]
        # The same masks, however often the run was stopped before.
        torch.manual_seed((settings["seed"] + state["step"] * processes.n + processes.rank) % (1 << 63))
        own = gradients(learner, processes, examples, step)
        processes.add_gradients(learning)
        loss, n_stops = processes.total(own, float(stopping.asked.is_set()))
        norm = optimizer.step(step["lr"]) if math.isfinite(loss) else math.nan
        state["step"] += 1
        if not math.isfinite(norm):
            rows = [row for rows in step["passes"] for row in rows]
            names = ", ".join(map(str, rows[:EXAMPLES_NAMED])) + (", …" if len(rows) > EXAMPLES_NAMED else "")
            raise Refused("not_finite", f"failed at training step {state['step']}, on examples {names}: loss {loss}, gradient {norm}")
        health.see(state["step"], loss)
        state.update(n_tokens=state["n_tokens"] + step["n_tokens"], health=health.kept)
        is_due = lambda every: every > 0 and state["step"] % every == 0
        validated = None
        if is_due(settings["validate_every_steps"]) or state["step"] == len(steps):
            validated = validation_loss(learner, processes, validation, settings["validation"])
        if validated is not None and health.validate(state["step"], validated) and health.patience > 0:
            if processes.is_first:
                checkpoints.write("best", learner.save)
        is_over = state["step"] == len(steps) or health.is_over
        is_stopped = n_stops > 0 and not is_over
        if processes.is_first:
            rate = (state["n_tokens"] - n_tokens_before) / max(time.monotonic() - began, 1e-9)
            tell(
                event="step", step=state["step"], loss=loss, lr=step["lr"], gradient_norm=norm, tokens_per_s=rate,
                validation_loss=validated,
            )
            if is_over or is_stopped or is_due(settings["checkpoint_every_steps"]):
                checkpoints.write_step(state, learner, optimizer)
        if is_stopped:
            return "stopped"
    return "done"


def main():
    parser = argparse.ArgumentParser(description="takes the steps of a Loopwright run")
    parser.add_argument("folder", type=Path, help="the folder that Loopwright wrote")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    stopping = Stopping(arguments.watch_stdin)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        settings = json.loads((arguments.folder / "settings.json").read_text())
        processes = Processes(device_of(settings["device"]))
        how = train(arguments.folder.resolve(), settings, processes, stopping)
        processes.part_with()
        if processes.is_first:
            tell(event=how)
    except Refused as error:
        tell_failure(error.kind, str(error))
        return 1
    except torch.OutOfMemoryError as error:
        tell_failure("memory", str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        tell_failure("other", f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
