"""Loads adapters that Loopwright trained with PEFT, and models that it merged with transformers, and compares the logits.

Arguments: the folder that `cargo run -p loopwright-lm --example adapters` wrote, and the folder of the checkpoints that
the adapters belong to. Prints one line that begins with `peft: `.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from peft import PeftModel

# f32 on both sides, about a hundred sums deep, of logits near 10.
TOLERANCE = 1e-4

warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
written, checkpoints = Path(sys.argv[1]), Path(sys.argv[2])
worst = {}
names = sorted(folder.name for folder in written.iterdir())
for name in names:
    expected = json.loads((written / name / "expected.json").read_text())

    def load(folder):
        config = json.loads((folder / "config.json").read_text())
        kind = getattr(transformers, config["architectures"][0])
        model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[problem], f"{folder}: {problem}: {report[problem]}"
        return model.eval()

    adapted = PeftModel.from_pretrained(load(checkpoints / name), written / name / "adapter").eval()
    learned = [parameter for key, parameter in adapted.named_parameters() if "lora_B" in key]
    assert learned and all(parameter.abs().max() > 0 for parameter in learned), f"{name}: PEFT left an update at zero"
    for what, model in dict(adapter=adapted, merged=load(written / name / "merged")).items():
        for text, logits in zip(expected["texts"], expected["logits"]):
            with torch.no_grad():
                got = model(input_ids=torch.tensor([text])).logits.reshape(-1, len(logits[0]))
            gap = (got - torch.tensor(logits)).abs().max().item()
            assert gap < TOLERANCE, f"{name}: the {what}'s logits differ by {gap}"
            worst[what] = max(worst.get(what, 0.0), gap)

assert len(names) > 5, f"expected a checkpoint of each family, got {names}"
print(
    f"peft: {len(names)} adapters give the same logits in PEFT (largest difference {worst['adapter']:.1e}), "
    f"merged models in transformers ({worst['merged']:.1e})"
)
