#!/usr/bin/env python3
"""Makes the checkpoints of `tests/fixtures/` and what the reference implementation says of them.

For each family of models: a tiny one with random weights (Hugging Face transformers), its logits, its greedy answer,
samples of every gradient, the losses of a full fine-tune, and the same under a LoRA adapter of PEFT, which is stored as
it began and as it was trained. Nothing is downloaded. Run it with the packages of `.ci/peers/requirements-torch.txt`:

    python make_fixtures.py OUT_DIR [FAMILY …]
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

VOCABULARY = 64
COMMON = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3_ROPE = dict(
    rope_type="llama3", rope_theta=1000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
YARN_ROPE = dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=16)
LINEAR_ROPE = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
GEMMA3_ROPE = dict(
    sliding_attention=dict(rope_type="default", rope_theta=100.0),
    full_attention=dict(rope_type="linear", rope_theta=5000.0, factor=2.0),
)
BERT = {k: v for k, v in COMMON.items() if k not in ("num_key_value_heads", "bos_token_id", "eos_token_id")}
BERT |= dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
LABELS = dict(id2label={0: "no", 1: "yes", 2: "maybe"}, label2id={"no": 0, "yes": 1, "maybe": 2})

# Class of the model, what differs from COMMON, stored type, and more for the adapter.
FAMILIES = {
    "llama": ("LlamaForCausalLM", dict(tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE), "bfloat16", {}),
    "llama_bias": (
        "LlamaForCausalLM",
        dict(attention_bias=True, mlp_bias=True, rope_parameters=LINEAR_ROPE),
        "float32",
        dict(use_rslora=True),
    ),
    "mistral": ("MistralForCausalLM", dict(sliding_window=5, head_dim=12), "bfloat16", {}),
    "qwen2": (
        "Qwen2ForCausalLM",
        dict(tie_word_embeddings=True, use_sliding_window=True, sliding_window=6, max_window_layers=1),
        "float16",
        {},
    ),
    "qwen3": ("Qwen3ForCausalLM", dict(head_dim=16, tie_word_embeddings=True, rope_parameters=YARN_ROPE), "bfloat16", {}),
    "smollm3": ("SmolLM3ForCausalLM", dict(num_hidden_layers=3, no_rope_layer_interval=2), "bfloat16", {}),
    "gemma": ("GemmaForCausalLM", dict(head_dim=8, num_key_value_heads=1), "bfloat16", {}),
    "gemma2": (
        "Gemma2ForCausalLM",
        dict(
            head_dim=8, num_hidden_layers=2, sliding_window=5, query_pre_attn_scalar=20, attn_logit_softcapping=3.0,
            final_logit_softcapping=4.0,
        ),
        "bfloat16",
        {},
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        dict(
            head_dim=8, num_hidden_layers=3, sliding_window=5, query_pre_attn_scalar=20, sliding_window_pattern=2,
            rope_parameters=GEMMA3_ROPE,
        ),
        "bfloat16",
        {},
    ),
    "qwen2_classes": ("Qwen2ForSequenceClassification", dict(LABELS), "bfloat16", {}),
    "bert": ("BertModel", None, "float32", {}),
    "bert_classes": ("BertForSequenceClassification", dict(LABELS), "bfloat16", {}),
}
SAMPLES = 64
STEPS = 20


def config_of(name, changes):
    kind = {"bert": "BertConfig", "qwen2_classes": "Qwen2Config", "bert_classes": "BertConfig"}.get(name)
    kind = kind or FAMILIES[name][0].replace("ForCausalLM", "Config").replace("Gemma3Config", "Gemma3TextConfig")
    common = BERT if kind == "BertConfig" else COMMON
    return getattr(transformers, kind)(**(common | (changes or {})))


def scatter(model, generator):
    """Weights large enough that attention is uneven and no gradient is 0 by chance."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            parameter.data += 0.2 * noise
        elif "embed" in name:
            parameter.data = 0.5 * noise
        else:
            parameter.data = noise * 1.2 / parameter.shape[1] ** 0.5


def rows_of(generator):
    """Four batches of four rows, uneven, with what counts in them."""
    batches = []
    for _ in range(4):
        batch = []
        for _ in range(4):
            n = int(torch.randint(6, 14, (1,), generator=generator))
            tokens = torch.randint(3, VOCABULARY, (n,), generator=generator).tolist()
            counts = (torch.rand(n, generator=generator) < 0.7).tolist()
            counts[-1] = True
            batch.append(dict(tokens=[1] + tokens, counts=[False] + counts, label=int(sum(tokens) % 3)))
        batches.append(batch)
    return batches


def padded(batch):
    longest = max(len(row["tokens"]) for row in batch)
    tokens = torch.tensor([row["tokens"] + [0] * (longest - len(row["tokens"])) for row in batch])
    real = torch.tensor([[1] * len(row["tokens"]) + [0] * (longest - len(row["tokens"])) for row in batch])
    counts = torch.tensor([row["counts"] + [False] * (longest - len(row["counts"])) for row in batch])
    return tokens, real, counts


def loss_of(model, batch, classes):
    tokens, real, counts = padded(batch)
    if classes:
        labels = torch.tensor([row["label"] for row in batch])
        return torch.nn.functional.cross_entropy(model(input_ids=tokens, attention_mask=real).logits, labels)
    logits = model(input_ids=tokens).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1), reduction="none"
    )
    return losses[counts[:, 1:].reshape(-1)].mean()


def gradients(model, batch, classes, prefix):
    """For each weight the norm of its gradient, and numbers of it at even distances."""
    model.zero_grad()
    loss_of(model, batch, classes).backward()
    found = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        flat = parameter.grad.reshape(-1)
        stride = max(1, len(flat) // SAMPLES)
        name = name.replace(".default", "").replace(".modules_to_save", "")
        # Without turning, a bias on the keys moves all scores of a row alike, and so nothing.
        assert flat.norm() > 1e-4 or name.endswith("key.bias"), (name, flat.norm())
        found[f"{prefix}.{name}"] = torch.cat([flat.norm().reshape(1), flat[::stride][:SAMPLES]]).contiguous()
    model.zero_grad()
    return found


def curve(model, batches, classes, rate):
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        dict(params=[p for p in learning if p.ndim >= 2], weight_decay=0.01),
        dict(params=[p for p in learning if p.ndim < 2], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.98), eps=1e-8)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, batches[step % len(batches)], classes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def save_adapter(adapted, out):
    adapted.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    settings = json.loads((out / "adapter_config.json").read_text())
    # A path of the machine that made it, and a set in an order of its own.
    settings["base_model_name_or_path"] = None
    settings["target_modules"].sort()
    (out / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def make(name, out):
    cls, changes, stored, more = FAMILIES[name]
    classes = name.endswith("_classes")
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    torch.manual_seed(1)
    out = out / name
    shutil.rmtree(out, ignore_errors=True)
    kind = getattr(transformers, cls)
    model = kind(config_of(name, changes)).eval()
    scatter(model, generator)
    shards = dict(max_shard_size="24KB") if name == "mistral" else {}
    model.to(getattr(torch, stored)).save_pretrained(out, **shards)
    load = lambda: kind.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    model = load()
    batches = rows_of(generator)
    tokens = torch.randint(3, VOCABULARY, (2, 12), generator=generator)
    expected = dict(family=name, tokens=tokens.tolist(), batches=batches)
    tensors = {}
    with torch.no_grad():
        if name == "bert":
            tensors["hidden"] = model(input_ids=tokens).last_hidden_state
        elif classes:
            padded_tokens, real, _ = padded(batches[0])
            tensors["logits"] = model(input_ids=padded_tokens, attention_mask=real).logits
        else:
            tensors["logits"] = model(input_ids=tokens).logits
            answer = tokens[:1, :6]
            for _ in range(20):
                last = model(input_ids=answer).logits[0, -1]
                best = last.topk(2).values
                assert best[0] - best[1] > 1e-3, "two tokens are as likely as each other; take another seed"
                answer = torch.cat([answer, last.argmax().reshape(1, 1)], dim=1)
            expected["greedy"] = answer[0].tolist()
    if name == "bert":
        targets = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]
        settings = LoraConfig(r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False, task_type="FEATURE_EXTRACTION")
        adapted = get_peft_model(load(), settings).eval()
        save_adapter(adapted, out / "adapter")
        with torch.no_grad():
            tensors["lora_hidden"] = adapted(input_ids=tokens).last_hidden_state
    else:
        tensors |= gradients(model, batches[0], classes, "full")
        expected["full_losses"] = curve(model, batches, classes, 3e-3)
        settings = LoraConfig(
            r=2, lora_alpha=4, lora_dropout=0.0, target_modules="all-linear", init_lora_weights=False,
            task_type="SEQ_CLS" if classes else "CAUSAL_LM", **more,
        )
        adapted = get_peft_model(load(), settings).eval()
        save_adapter(adapted, out / "adapter_start")
        tensors |= gradients(adapted, batches[0], classes, "lora")
        expected["lora_losses"] = curve(adapted, batches, classes, 1e-2)
        save_adapter(adapted, out / "adapter")
        with torch.no_grad():
            reread = PeftModel.from_pretrained(load(), out / "adapter").eval()
            if classes:
                tensors["lora_logits"] = reread(input_ids=padded_tokens, attention_mask=real).logits
            else:
                tensors["lora_logits"] = reread(input_ids=tokens).logits
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.json").write_text(json.dumps(expected) + "\n")
    (out / "generation_config.json").unlink(missing_ok=True)
    print(f"{name}: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file()):,} bytes")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for family in sys.argv[2:] or FAMILIES:
        make(family, folder)
