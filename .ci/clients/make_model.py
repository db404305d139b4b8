"""Writes a tiny model whose answers are known: after anything it says "Sure, thing!" and ends.

No training: the attention and the gates are zero, so each token alone decides what follows. Held to a grammar, the model
prefers to close what is open. So every client finds answers that end, calls that are valid, and the same ones each time.
"""

import json
import struct
import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

ANSWER = "Sure, thing!"  # No character twice: each is decided by the one before.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = """{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}
{% endif %}You may call:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>{{ message.content }}</tool_response><|im_end|>
{% elif not (tools and loop.first and message.role == 'system') %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""


def tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return made


def weights(made):
    n = made.get_vocab_size()
    width = n + 2 - n % 2  # First what every token has, then one place for each; even, as rotations want it.
    token = lambda text: made.encode(text).ids[0]
    follows = {i: token(ANSWER[0]) for i in range(n)}
    follows.update({token(a): token(b) for a, b in zip(ANSWER, ANSWER[1:])})
    end = made.token_to_id("<|im_end|>")
    follows[token(ANSWER[-1])] = end
    embedding = [[0.0] * width for _ in range(n)]
    head = [[0.0] * width for _ in range(n)]
    for i in range(n):
        embedding[i][i + 1] = embedding[i][0] = 1.0
        head[follows[i]][i + 1] = 1.0
    # What is preferred where the grammar forbids what follows: to end, then to close.
    for text, liking in (("}", 0.4), ("]", 0.35), ('"', 0.3), (",", 0.2)):
        head[token(text)][0] = liking
    head[end][0] = 0.5
    # Inside of a string everything is allowed; it ends where the answer would.
    head[token('"')][token(ANSWER[-1]) + 1] = 0.5
    layer = "model.layers.0."
    tensors = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": head,
        "model.norm.weight": [1.0] * width,
        layer + "input_layernorm.weight": [1.0] * width,
        layer + "post_attention_layernorm.weight": [1.0] * width,
        layer + "mlp.gate_proj.weight": [[0.0] * width] * 8,
        layer + "mlp.up_proj.weight": [[0.0] * width] * 8,
        layer + "mlp.down_proj.weight": [[0.0] * 8] * width,
    }
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        tensors[f"{layer}self_attn.{name}.weight"] = [[0.0] * width] * width
    return n, width, end, tensors


def write_safetensors(path, tensors):
    header, data = {}, bytearray()
    for name, rows in tensors.items():
        flat = [x for row in rows for x in row] if isinstance(rows[0], list) else rows
        shape = [len(rows), len(rows[0])] if isinstance(rows[0], list) else [len(rows)]
        start = len(data)
        data += struct.pack(f"<{len(flat)}f", *flat)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(data))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    n, width, end, tensors = weights(made)
    write_safetensors(folder / "model.safetensors", tensors)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": n,
        "hidden_size": width,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0 + made.token_to_id("<|endoftext|>"),
        "eos_token_id": end,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    names = {"eos_token": "<|im_end|>", "bos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))


main()
