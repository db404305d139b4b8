"""Speed of other engines on the model that `engine_speed write` made: llama.cpp (llama-cpp-python) and transformers.

engine_peer.py convert DIR          writes DIR/f32.gguf, DIR/q8_0.gguf and DIR/q4_k.gguf
engine_peer.py llama DIR q8_0       measures llama.cpp
engine_peer.py transformers DIR     measures transformers in f32 and bf16
Two threads. Prints JSON lines.
"""

import json
import os
import pathlib
import statistics
import sys
import time

PROMPT, LONG_PROMPT, ANSWER, THREADS, VOCABULARY = 16, 512, 128, 2, 49152


def tokens(n, seed):
    state, out = seed, []
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(10 + (state >> 33) % (VOCABULARY - 10))
    return out


def convert(folder):
    import gguf
    import llama_cpp
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    path = folder / "f32.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for name, array in load_file(folder / "model.safetensors").items():
        stem, kind = name.rsplit(".", 1)
        if stem in whole:
            writer.add_tensor(f"{whole[stem]}.{kind}", array)
            continue
        _, _, layer, part = stem.split(".", 3)
        heads = {"self_attn.q_proj": "num_attention_heads", "self_attn.k_proj": "num_key_value_heads"}.get(part)
        if heads:
            n = config[heads]
            array = array.reshape(n, 2, array.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(f"blk.{layer}.{parts[part]}.{kind}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, kind in [("q8_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0), ("q4_k", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_S)]:
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.nthread, params.pure = kind, THREADS, name == "q8_0"
        out = folder / f"{name}.gguf"
        if llama_cpp.llama_model_quantize(str(path).encode(), str(out).encode(), params) != 0:
            sys.exit(f"{name} could not be written")


def llama(folder, form):
    import llama_cpp

    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    # Its kernels for the tile unit are left out with LLAMA_PLAIN: on some machines they end with an illegal instruction.
    params.use_extra_bufts = "LLAMA_PLAIN" not in os.environ
    path = folder / f"{form}.gguf"
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch, settings.n_seq_max = 8 * 768, 512, 512, 8
    settings.n_threads = settings.n_threads_batch = THREADS
    settings.no_perf = True
    context = llama_cpp.llama_init_from_model(model, settings)
    memory = llama_cpp.llama_get_memory(context)
    batch = llama_cpp.llama_batch_init(512, 0, 1)

    def decode(rows):
        """Rows of (token, position, sequence, whether logits are wanted)."""
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wanted
        if llama_cpp.llama_decode(context, batch) != 0:
            sys.exit("llama.cpp could not decode")

    def best(row):
        logits = llama_cpp.llama_get_logits_ith(context, row)
        import numpy as np

        return int(np.ctypeslib.as_array(logits, shape=(VOCABULARY,)).argmax())

    def written_per_s(n, seed):
        llama_cpp.llama_memory_clear(memory, True)
        last = []
        for sequence in range(n):
            prompt = tokens(PROMPT, seed + sequence)
            decode([(token, i, sequence, i + 1 == PROMPT) for i, token in enumerate(prompt)])
            last.append(best(PROMPT - 1))
        since = time.perf_counter()
        for step in range(ANSWER - 1):
            decode([(token, PROMPT + step, sequence, True) for sequence, token in enumerate(last)])
            last = [best(i) for i in range(n)]
        return n * (ANSWER - 1) / (time.perf_counter() - since)

    def first_token_s(seed):
        llama_cpp.llama_memory_clear(memory, True)
        since = time.perf_counter()
        decode([(token, i, 0, i + 1 == LONG_PROMPT) for i, token in enumerate(tokens(LONG_PROMPT, seed))])
        best(LONG_PROMPT - 1)
        return time.perf_counter() - since

    written_per_s(1, 1)
    one = statistics.median(written_per_s(1, 10 + i) for i in range(3))
    eight = statistics.median(written_per_s(8, 100 + i) for i in range(3))
    cold = statistics.median(first_token_s(1000 + i) for i in range(3))
    size = llama_cpp.llama_model_size(model)
    print(json.dumps({"engine": "llama.cpp", "form": form, "decode_1": one, "decode_8": eight, "decode_gb_s": one * size / 1e9,
                      "prefill_512": LONG_PROMPT / cold, "first_token_cold_ms": cold * 1e3, "weights_mib": size / 2**20}))


def transformers_speed(folder):
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    for form, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

        def written_per_s(n, seed):
            prompt = torch.tensor([tokens(PROMPT, seed + i) for i in range(n)])
            settings = dict(do_sample=False, min_new_tokens=ANSWER, max_new_tokens=ANSWER, pad_token_id=0)
            with torch.inference_mode():
                first = time.perf_counter()
                model.generate(prompt, **{**settings, "min_new_tokens": 1, "max_new_tokens": 1})
                since = time.perf_counter()
                model.generate(prompt, **settings)
                end = time.perf_counter()
            return n * (ANSWER - 1) / (end - since - (since - first))

        def first_token_s(seed):
            prompt = torch.tensor([tokens(LONG_PROMPT, seed)])
            since = time.perf_counter()
            with torch.inference_mode():
                model(prompt, logits_to_keep=1).logits.argmax()
            return time.perf_counter() - since

        written_per_s(1, 1)
        one = statistics.median(written_per_s(1, 10 + i) for i in range(3))
        eight = statistics.median(written_per_s(8, 100 + i) for i in range(3))
        cold = statistics.median(first_token_s(1000 + i) for i in range(3))
        print(json.dumps({"engine": "transformers", "form": form, "decode_1": one, "decode_8": eight,
                          "prefill_512": LONG_PROMPT / cold, "first_token_cold_ms": cold * 1e3}))


if __name__ == "__main__":
    job, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    {"convert": convert, "llama": lambda f: llama(f, sys.argv[3]), "transformers": transformers_speed}[job](folder)
