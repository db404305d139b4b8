"""The cases of `beside_torch` with PyTorch, transformers and PEFT: the same shapes, batch, tokens a row and optimiser.

usage: training_peer.py MODE, MODE being eager, bf16 (autocast) or compile. Prints one JSON line for each case.
"""

import json
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

MODE = sys.argv[1]
TOKENS, WARM = 128, 2
CASES = [
    {"case": "pretrain", "vocabulary": 4000, "hidden": 256, "layers": 5, "heads": 4, "rows": 16, "steps": 14},
    {"case": "lora", "vocabulary": 16000, "hidden": 768, "layers": 12, "heads": 12, "rows": 4, "steps": 7},
]


def rounded(n, to):
    return (n + to - 1) // to * to


def measure(case):
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=case["vocabulary"],
        hidden_size=case["hidden"],
        intermediate_size=rounded(case["hidden"] * 8 // 3, 32),
        num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"],
        num_key_value_heads=case["heads"],
        max_position_embeddings=256,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    n_parameters = sum(p.numel() for p in model.parameters())
    if case["case"] == "lora":
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
    model.train()
    run = torch.compile(model) if MODE == "compile" else model
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
    seconds, losses = [], []
    for _ in range(case["steps"]):
        began = time.perf_counter()
        tokens = torch.randint(5, case["vocabulary"], (case["rows"], TOKENS))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=MODE == "bf16"):
            loss = run(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
        losses.append(loss.item())
    rate = case["rows"] * TOKENS / statistics.median(seconds[WARM:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"case": case["case"], "mode": MODE, "parameters": n_parameters, "tokens_per_s": round(rate), "first_loss": round(losses[0], 4), "last_loss": round(losses[-1], 4), "peak_mib": peak}), flush=True)


torch.set_num_threads(int(os.environ.get("THREADS", "2")))
for case in CASES:
    measure(case)
