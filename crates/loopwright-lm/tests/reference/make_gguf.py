#!/usr/bin/env python3
"""Makes the GGUF files of `tests/fixtures/gguf/` with the `gguf` package, and the logits that transformers computes from
them. Nothing is downloaded. Needs `gguf` beside the packages of `.ci/peers/requirements-torch.txt`.

    python make_gguf.py OUT_DIR
"""

import json
import shutil
import sys
from pathlib import Path

import gguf
import torch
import transformers

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, rms_norm_eps=1e-6, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
THETA = dict(rope_type="default", rope_theta=5000.0)
Type = gguf.GGMLQuantizationType
FILES = {
    "llama": ("Llama", dict(tie_word_embeddings=False, rope_parameters=THETA), Type.Q8_0),
    "qwen2": ("Qwen2", dict(tie_word_embeddings=True, rope_parameters=THETA), Type.F16),
    "qwen3": ("Qwen3", dict(tie_word_embeddings=True, head_dim=16, rope_parameters=THETA), Type.BF16),
}
PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    path, kind = name.rsplit(".", 1)
    if path in WHOLE:
        return f"{WHOLE[path]}.{kind}"
    _, _, layer, part = path.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.{kind}"


def interleaved(rows, heads):
    """Llama's files hold the two halves of each head of queries and keys in turn."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def make(name, out):
    family, changes, stored = FILES[name]
    generator = torch.Generator().manual_seed(len(name) + ord(name[-1]))
    config = getattr(transformers, f"{family}Config")(**SIZES, **changes)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    path = out / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(5000.0)
    writer.add_vocab_size(config.vocab_size)
    if name == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    for key, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        flat = parameter.ndim == 1
        parameter.data = parameter.data + 0.2 * noise if flat else noise * (0.5 if "embed" in key else 0.21)
        numbers = parameter.detach().numpy()
        if name == "llama" and (".q_proj" in key or ".k_proj" in key):
            heads = config.num_attention_heads if ".q_proj" in key else config.num_key_value_heads
            numbers = interleaved(numbers, heads)
        kind = Type.F32 if flat else stored
        writer.add_tensor(gguf_name(key), gguf.quants.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # The library does not take every size from the file (not the width of a head); the numbers are what is compared.
    kind = getattr(transformers, f"{family}ForCausalLM")
    reread = kind.from_pretrained(out, gguf_file=path.name, config=config, dtype=torch.float32).eval()
    tokens = torch.randint(3, 64, (1, 9), generator=generator)
    with torch.no_grad():
        logits = reread(input_ids=tokens).logits[0]
        # The file holds the model that it was made of, up to the rounding of its type.
        gap = (logits - model(input_ids=tokens).logits[0]).abs().max().item()
    assert gap < 0.2, (name, gap)
    print(f"{name}: {path.stat().st_size:,} bytes, {gap:.4f} from the model in f32")
    return dict(tokens=tokens[0].tolist(), logits=logits.tolist())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = {name: make(name, folder) for name in FILES}
    (folder / "expected.json").write_text(json.dumps(found) + "\n")
