"""Regret of `loopwright-search` beside Optuna's default sampler, on COCO's functions and two classics.

`bench/search.sh` calls this; see there. Each suite runs functions × seeds; a seed is paired with one instance of a COCO
function (its optimum shifted and turned), so both sides meet the same 20 problems of each function. Instances 1 to 5 are
for developing a sampler (`dev`), 6 to 25 for the figures that we report (`report`).

    search.py peer  SET DIMENSION             Optuna's TPESampler with its default settings
    search.py ours  SET DIMENSION SAMPLER     our sampler, through the example `ask_tell`
    search.py table SET DIMENSION SAMPLER     both, compared, as Markdown
    search.py speed SET DIMENSION SAMPLER     milliseconds of a suggestion after 200 trials, both sides (any SET)

Results lie in ~/.cache/loopwright/search-bench, a file per side, set, dimension and sampler; `peer` is not run again.
"""

import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import cocoex
import numpy as np

BUDGETS = (50, 100, 200)
TRIALS = max(BUDGETS)
SETS = {"dev": range(1, 6), "report": range(6, 26)}
SUITES = ("bbob", "bbob-mixint")
CACHE = os.path.expanduser("~/.cache/loopwright/search-bench")


class Problem:
    """A function to minimise: its variables as (name, kind, low, high), its value, and its known minimum."""

    def __init__(self, key, seed, variables, evaluate, optimum):
        self.key, self.seed, self.variables, self.evaluate, self.optimum = key, seed, variables, evaluate, optimum

    def regret(self, point):
        return max(float(self.evaluate([point[name] for name, *_ in self.variables])) - self.optimum, 0.0)


def coco(suite_name, instances, dimension):
    """The 24 functions of a suite. COCO tells an optimum's place by writing it to a file."""
    suite = cocoex.Suite(suite_name, "instances: " + ",".join(map(str, instances)), f"dimensions: {dimension}")
    for problem in suite:
        problem._best_parameter("print")
        optimum = problem(np.loadtxt("._bbob_problem_best_parameter.txt"))
        bounds = list(zip(problem.lower_bounds, problem.upper_bounds))
        whole = problem.number_of_integer_variables
        variables = [
            (f"x{i}", "int", int(low), int(high)) if i < whole else (f"x{i}", "float", float(low), float(high))
            for i, (low, high) in enumerate(bounds)
        ]
        key = f"{suite_name} f{problem.id_function:02d}"
        yield Problem(key, problem.id_instance, variables, lambda x, p=problem: p(np.array(x, float)), optimum)


def branin(x):
    a, b, c, r, s, t = 1.0, 5.1 / (4 * math.pi**2), 5 / math.pi, 6.0, 10.0, 1 / (8 * math.pi)
    return a * (x[1] - b * x[0] ** 2 + c * x[0] - r) ** 2 + s * (1 - t) * math.cos(x[0]) + s


def hartmann6(x):
    alpha = np.array([1.0, 1.2, 3.0, 3.2])
    a = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
    p = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                         [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])
    return -float(alpha @ np.exp(-(a * (np.asarray(x) - p) ** 2).sum(1)))


def classics(instances):
    for seed in instances:
        yield Problem("branin", seed, [("x0", "float", -5.0, 10.0), ("x1", "float", 0.0, 15.0)], branin, 0.39788735772973816)
        yield Problem("hartmann6", seed, [(f"x{i}", "float", 0.0, 1.0) for i in range(6)], hartmann6, -3.3223680114155147)


def problems(set_name, dimension):
    instances = SETS[set_name]
    yield from classics(instances)
    for suite in SUITES:
        yield from coco(suite, instances, dimension)


def run_optuna(problem):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=problem.seed))

    def objective(trial):
        point = {}
        for name, kind, low, high in problem.variables:
            point[name] = (trial.suggest_int if kind == "int" else trial.suggest_float)(name, low, high)
        return problem.regret(point)

    study.optimize(objective, n_trials=TRIALS)
    return [trial.value for trial in study.trials]


class Ours:
    """One process of the example `ask_tell` for all problems."""

    def __init__(self, sampler):
        target = os.environ.get("CARGO_TARGET_DIR", "target")
        self.sampler = sampler
        self.process = subprocess.Popen(
            [f"{target}/release/examples/ask_tell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            sys.exit(f"ask_tell refused {message}: {answer['error']}")
        return answer

    def settings(self):
        return json.loads(self.sampler) if self.sampler.startswith("{") else {"name": self.sampler}

    def run(self, problem):
        space = {name: {"type": kind, "low": low, "high": high} for name, kind, low, high in problem.variables}
        self.send({"new": {"space": space, "direction": "minimise", "seed": problem.seed, "sampler": self.settings()}})
        values = []
        for _ in range(TRIALS):
            trial = self.send({"ask": {}})
            values.append(problem.regret(trial["params"]))
            self.send({"tell": {"number": trial["number"], "value": values[-1]}})
        return values


def speed(dimension, sampler, n_after=200, n_measured=21):
    """Median milliseconds of one suggestion, ours with the pipe, Optuna's with its bookkeeping."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = [f"x{i:02}" for i in range(dimension)]
    objective = lambda params: sum((params[name] - 0.1 * i) ** 2 for i, name in enumerate(names))
    ours, mine, theirs = Ours(sampler), [], []
    ours.send({"new": {"space": {name: {"type": "float", "low": -5, "high": 5} for name in names},
                       "direction": "minimise", "sampler": ours.settings()}})
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    for _ in range(n_after + n_measured):
        began = time.perf_counter()
        trial = ours.send({"ask": {}})
        mine.append(time.perf_counter() - began)
        ours.send({"tell": {"number": trial["number"], "value": objective(trial["params"])}})
        began = time.perf_counter()
        trial = study.ask()
        params = {name: trial.suggest_float(name, -5, 5) for name in names}
        theirs.append(time.perf_counter() - began)
        study.tell(trial, objective(params))
    mine, theirs = (1000 * statistics.median(times[n_after:]) for times in (mine, theirs))
    print(f"Suggestion after {n_after} trials in dimension {dimension}: {mine:.2f} ms ours, {theirs:.2f} ms Optuna's.")


def measure(path, runner, set_name, dimension):
    results, began = {}, time.time()
    only = re.compile(os.environ.get("SEARCH_ONLY", ""))
    for problem in problems(set_name, dimension):
        if not only.match(problem.key):
            continue
        values = runner(problem)
        best = np.minimum.accumulate(values)
        results.setdefault(problem.key, {})[str(problem.seed)] = [float(best[budget - 1]) for budget in BUDGETS]
    seconds = time.time() - began
    with open(path, "w") as out:
        json.dump({"seconds": seconds, "results": results}, out)
    print(f"{path}: {seconds:.0f} s", file=sys.stderr)


def path_of(side, set_name, dimension):
    return f"{CACHE}/{side}-{set_name}-{dimension}.json"


def compare(ours, peer, keys, at):
    """(function, our median, the peer's, no worse) for a budget. Regrets below COCO's target of 1e-8 count as solved."""
    rows = []
    for key in keys:
        seeds = sorted(set(ours[key]) & set(peer[key]), key=int)
        mine, theirs = ([max(side[key][seed][at], 1e-8) for seed in seeds] for side in (ours, peer))
        rows.append((key, statistics.median(mine), statistics.median(theirs), mine, theirs))
    return rows


def paired(rows):
    """Wilcoxon's signed-rank test on log regret, over all pairs of (function, seed): our wins' share and the p-value."""
    from scipy.stats import wilcoxon

    differences = [math.log(a) - math.log(b) for row in rows for a, b in zip(row[3], row[4])]
    decided = [d for d in differences if d]
    wins = sum(d < 0 for d in decided) / max(len(decided), 1)
    return wins, wilcoxon(differences, alternative="less").pvalue, math.exp(statistics.mean(differences))


def table(ours, peer, dimension):
    groups = [(suite, sorted(key for key in ours if key.startswith(suite + " "))) for suite in SUITES]
    print(f"Dimension {dimension}, all functions of a suite: where our median regret is no worse, and pairs of runs.\n")
    print("| suite | trials | functions no worse | share | pairs won | ratio of regrets (geometric mean) | Wilcoxon p |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for suite, keys in groups:
        for at, budget in enumerate(BUDGETS):
            if keys:
                rows = compare(ours, peer, keys, at)
                good = sum(mine <= theirs for _, mine, theirs, *_ in rows)
                wins, p, ratio = paired(rows)
                print(f"| {suite} | {budget} | {good} of {len(rows)} | {good / len(rows):.0%} | {wins:.0%} | {ratio:.2f} | {p:.1g} |")
    keys = [key for key in ("branin", "hartmann6") if key in ours] + [key for _, keys in groups for key in keys]
    print("\nMedian regret, ours / Optuna's:\n")
    print("| function | " + " | ".join(f"{budget} trials" for budget in BUDGETS) + " |")
    print("|---|" + "---:|" * len(BUDGETS))
    by_budget = [compare(ours, peer, keys, at) for at in range(len(BUDGETS))]
    for index, key in enumerate(keys):
        cells = [f"{rows[index][1]:.3g} / {rows[index][2]:.3g}{'' if rows[index][1] <= rows[index][2] else ' ✗'}" for rows in by_budget]
        print(f"| {key} | " + " | ".join(cells) + " |")


def main():
    action, set_name, dimension, *rest = sys.argv[1:]
    dimension = int(dimension)
    os.makedirs(CACHE, exist_ok=True)
    peer_path = path_of("optuna", set_name, dimension)
    if action != "table":
        here, scratch = os.getcwd(), tempfile.mkdtemp()
        os.environ["CARGO_TARGET_DIR"] = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{here}/target"))
        os.chdir(scratch)
    if action == "peer":
        if not os.path.exists(peer_path):
            measure(peer_path, run_optuna, set_name, dimension)
        return
    sampler = rest[0]
    label = os.environ.get("SEARCH_LABEL", "".join(c if c.isalnum() else "-" for c in sampler))
    our_path = path_of(label, set_name, dimension)
    if action == "speed":
        speed(dimension, sampler)
    elif action == "ours":
        measure(our_path, Ours(sampler).run, set_name, dimension)
    elif action == "table":
        sides = [json.load(open(path)) for path in (our_path, peer_path)]
        table(sides[0]["results"], sides[1]["results"], dimension)
        print(f"\nWhole runs with the functions' own time: {sides[0]['seconds']:.0f} s ours, {sides[1]['seconds']:.0f} s Optuna's.")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
