#!/usr/bin/env bash
# The demo's stage times and memory: three fresh runs of the release binary, medians printed as Markdown.
# Usage: bench/demo.sh [RUNS]       (builds nothing: run `cargo build --release` first)
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-3}
binary=${LOOPWRIGHT_BIN:-${CARGO_TARGET_DIR:-target}/release/loopwright}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for run in $(seq "$runs"); do
  python3 - "$binary" "$scratch/demo-$run" >"$scratch/$run.json" <<'PY'
import json, resource, subprocess, sys, time
binary, folder = sys.argv[1:]
began = time.monotonic()
done = subprocess.run([binary, "demo", "--once", "--json", "--port", "0", "--dir", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
wall = time.monotonic() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
summary = json.loads(done.stdout)
print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024, "stages": summary["stages"],
                  "before": summary["retrained"]["accuracy_before"], "after": summary["retrained"]["accuracy_after"],
                  "tokens_per_s": summary["trained"]["tokens_per_s"], "p50_ms": summary["watched"]["latency_ms"][0]}))
PY
done
# The idle server: started on the finished project, measured after five quiet seconds.
python3 - "$binary" "$scratch/demo-1" "$scratch" "$runs" <<'PY'
import json, re, statistics, subprocess, sys, time, urllib.request, socket, os, signal
binary, folder, scratch, runs = sys.argv[1:]
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
began = time.monotonic()
server = subprocess.Popen([binary, "up", "--port", str(port), "--project", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while True:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
        break
    except OSError:
        time.sleep(0.01)
ready = time.monotonic() - began
time.sleep(5)
rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.pid}/status").read()).group(1)) / 1024
server.send_signal(signal.SIGTERM)
server.wait(20)
all_runs = [json.load(open(f"{scratch}/{run + 1}.json")) for run in range(int(runs))]
median = lambda pick: statistics.median(pick(run) for run in all_runs)
print(f"| stage | seconds (median of {runs}) |\n|---|---|")
for index, stage in enumerate(all_runs[0]["stages"]):
    print(f"| {stage['number']} {stage['title']} | {median(lambda run: run['stages'][index]['seconds']):.1f} |")
print(f"| **whole demo, wall clock** | **{median(lambda run: run['wall']):.1f}** |\n")
print("| figure | median |\n|---|---|")
print(f"| processor time of the demo, s | {median(lambda run: run['cpu']):.0f} |")
print(f"| peak memory of the demo, MiB | {median(lambda run: run['peak_mib']):.0f} |")
print(f"| fine-tuning, tokens/s | {median(lambda run: run['tokens_per_s']):.0f} |")
print(f"| answer over HTTP, p50 ms | {median(lambda run: run['p50_ms']):.1f} |")
print(f"| `up` to first `/health`, s | {ready:.2f} |")
print(f"| idle server, MiB resident | {rss:.0f} |")
PY
