#!/usr/bin/env python3
"""Makes `tests/fixtures/preferences.json`: what TRL's DPOTrainer reports of each step on a tiny base.

The base and the adapter are fixtures of `loopwright-lm`. Every step sees all pairs, so their order does not matter.
Nothing is downloaded. Run it with the packages of `.ci/peers/requirements-torch.txt` and trl 1.16.0:

    python make_preferences.py ../../loopwright-lm/tests/fixtures/llama ../fixtures/preferences.json
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset
from peft import PeftModel
from tokenizers import Tokenizer, models, pre_tokenizers

VOCABULARY = 64
PAIRS = 8
STEPS = 10
SETTINGS = dict(beta=0.1, adam_beta1=0.9, adam_beta2=0.98, weight_decay=0.01, max_grad_norm=1.0)
RATES = dict(full=3e-4, lora=2e-3)


def pairs_of(generator):
    """Prompts with two answers each, all of uneven length; token 2 ends an answer."""
    def draw(low, high):
        n = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(3, VOCABULARY, (n,), generator=generator).tolist()

    return [dict(prompt=[1] + draw(3, 8), chosen=draw(2, 8) + [2], rejected=draw(2, 8) + [2]) for _ in range(PAIRS)]


def words_tokenizer():
    """One word for each token, so that texts stand for exactly the tokens that were drawn."""
    words = Tokenizer(models.WordLevel({f"t{i:02}": i for i in range(VOCABULARY)}, unk_token="t00"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="t01", eos_token="t02", pad_token="t00")


def text(tokens):
    return "".join(f" t{token:02}" for token in tokens)


def curve(model, pairs, rate):
    dataset = Dataset.from_list([{part: text(tokens) for part, tokens in pair.items()} for pair in pairs])
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.DPOConfig(
            output_dir=folder, max_steps=STEPS, per_device_train_batch_size=PAIRS, learning_rate=rate,
            lr_scheduler_type="constant", adam_epsilon=1e-8, logging_steps=1, report_to=[], use_cpu=True, bf16=False,
            gradient_checkpointing=False, disable_dropout=True, save_strategy="no", optim="adamw_torch", **SETTINGS,
        )
        trainer = trl.DPOTrainer(model=model, args=arguments, train_dataset=dataset, processing_class=words_tokenizer())
        trainer.train()
    steps = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    assert len(steps) == STEPS
    keys = dict(loss="loss", accuracy="rewards/accuracies", margin="rewards/margins", gradient_norm="grad_norm")
    return [{ours: float(step[theirs]) for ours, theirs in keys.items()} for step in steps]


def main(base, out):
    torch.manual_seed(1)
    pairs = pairs_of(torch.Generator().manual_seed(7))
    load = lambda: transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    adapted = PeftModel.from_pretrained(load(), base / "adapter_start", is_trainable=True)
    curves = dict(full=curve(load(), pairs, RATES["full"]), lora=curve(adapted, pairs, RATES["lora"]))
    out.write_text(json.dumps(dict(trl=trl.__version__, settings=SETTINGS, rates=RATES, pairs=pairs, **curves)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
