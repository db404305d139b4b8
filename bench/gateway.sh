#!/usr/bin/env bash
# The gateway under load, before a provider that costs next to nothing, beside LiteLLM and Portkey: processor time per request,
# saturation, what half of it adds, the first token of a stream, resident memory.
# Builds nothing: run `cargo build --release` and `cargo build --release -p loopwright-serve --example gateway_load` first.
# LITELLM is LiteLLM's command, PORTKEY its server's JavaScript file; each is left out where it is not named.
# `gateway.sh compare [SECONDS]`, `gateway.sh soak [SECONDS]` or `gateway.sh hold [N]`
set -euo pipefail
cd "$(dirname "$0")/.."
release="${CARGO_TARGET_DIR:-target}/release"
load="$release/examples/gateway_load"
ours="$release/loopwright"
folder=$(mktemp -d)
children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' TERM INT

upstream=19001 ours_port=19002 litellm_port=19003 portkey_port=19004

spawn() { # spawn NAME COMMAND…: sets `pid`
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    pid=$!
    children+=("$pid")
}

wait_for() { # wait_for NAME URL
    for _ in $(seq 600); do
        curl --silent --fail --output /dev/null "$2" && return
        sleep 0.2
    done
    tail -n 20 "$folder/$1.log" >&2
    exit 1
}

start_ours() {
    "$ours" --project "$folder/project" init >/dev/null
    cat >>"$folder/project/loopwright.toml" <<TOML

[provider.near]
kind = "openai"
base_url = "http://127.0.0.1:$upstream/v1"
api_key_env = "NEAR_KEY"
allow_private = true
in_flight_max = 20000
prices = {mock = {input = 0.15, output = 0.6}}

[route.chat]
variants = [{provider = "near", model = "mock"}]
guard = [{rule = "pii"}]
TOML
    key=$("$ours" --project "$folder/project" key make --owner bench --models chat --requests-per-minute 100000000 \
        --tokens-per-minute 10000000000 --budget-usd 1000000 --budget-window month --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["secret"])')
    NEAR_KEY=near spawn ours "$ours" --project "$folder/project" up --port "$ours_port"
    ours_pid=$pid
    wait_for ours "http://127.0.0.1:$ours_port/health"
}

start_litellm() {
    cat >"$folder/litellm.yaml" <<YAML
model_list:
  - model_name: chat
    litellm_params: {model: openai/mock, api_base: "http://127.0.0.1:$upstream/v1", api_key: near}
general_settings: {master_key: sk-bench}
YAML
    LITELLM_TELEMETRY=False LITELLM_LOG=ERROR spawn litellm "$LITELLM" --config "$folder/litellm.yaml" --host 127.0.0.1 --port "$litellm_port"
    litellm_pid=$pid
    wait_for litellm "http://127.0.0.1:$litellm_port/health/liveliness"
}

start_portkey() {
    PORT=$portkey_port spawn portkey node "$PORTKEY" --headless --port="$portkey_port"
    portkey_pid=$pid
    wait_for portkey "http://127.0.0.1:$portkey_port/"
}

say() { # say LABEL COMMAND…: its JSON line with a label
    local label=$1
    shift
    echo "$label $("$@")"
}

# measure NAME URL KEY PID SECONDS: everything about one gateway.
measure() {
    local name=$1 url=$2 key=$3 pid=$4 seconds=$5 saturation half
    "$load" closed "$url" "$key" chat 8 3 plain >/dev/null
    saturation=$("$load" closed "$url" "$key" chat 16 "$seconds" plain "$pid")
    echo "$name saturation $saturation"
    half=$(python3 -c 'import json, sys; print(max(1, round(json.loads(sys.argv[1])["per_second"] / 2)))' "$saturation")
    say "$name half" "$load" rate "$url" "$key" chat "$half" "$seconds" plain "$pid"
    say "$name without-at-that-rate" "$load" rate "http://127.0.0.1:$upstream/v1/chat/completions" none mock "$half" "$seconds" plain
    say "$name stream" "$load" rate "$url" "$key" chat 20 "$seconds" stream "$pid"
    say "$name stream-without" "$load" rate "http://127.0.0.1:$upstream/v1/chat/completions" none mock 20 "$seconds" stream
}

case "${1:-compare}" in
compare)
    seconds=${2:-20}
    spawn upstream "$load" upstream "$upstream"
    start_ours
    measure ours "http://127.0.0.1:$ours_port/v1/chat/completions" "$key" "$ours_pid" "$seconds"
    kill "$ours_pid"
    if [ -n "${LITELLM:-}" ]; then
        start_litellm
        measure litellm "http://127.0.0.1:$litellm_port/v1/chat/completions" sk-bench "$litellm_pid" "$seconds"
        kill "$litellm_pid"
    fi
    if [ -n "${PORTKEY:-}" ]; then
        start_portkey
        # Portkey is told its target by headers.
        LOAD_HEADERS="x-portkey-provider=openai,x-portkey-custom-host=http://127.0.0.1:$upstream/v1" \
            measure portkey "http://127.0.0.1:$portkey_port/v1/chat/completions" near "$portkey_pid" "$seconds"
    fi
    ;;
soak)
    seconds=${2:-1800}
    spawn upstream "$load" upstream "$upstream"
    start_ours
    for _ in $(seq $((seconds / 60))); do
        say soak "$load" rate "http://127.0.0.1:$ours_port/v1/chat/completions" "$key" chat 500 60 plain "$ours_pid"
    done
    ;;
hold)
    n=${2:-10000}
    # Two sockets of the gateway for each stream, and some.
    ulimit -n "$((2 * n + 4096))" || ulimit -n "$(ulimit -Hn)"
    # Sixteen chunks, four seconds apart: a minute for each stream.
    spawn upstream "$load" upstream "$upstream" 4000
    start_ours
    "$load" hold "http://127.0.0.1:$ours_port/v1/chat/completions" "$key" chat "$n" &
    holding=$!
    while kill -0 "$holding" 2>/dev/null; do
        sleep 10
        echo "resident $(grep VmRSS "/proc/$ours_pid/status")"
    done
    wait "$holding"
    ;;
*)
    echo "usage: gateway.sh compare [SECONDS] | soak [SECONDS] | hold [N]" >&2
    exit 2
    ;;
esac
