"""Says in one JSON line what this Python has for training: versions, devices, and how processes can talk."""

import importlib
import json
import os
import platform
import sys

# What libraries say while they are imported must not stand beside the line.
out = os.dup(1)
os.dup2(2, 1)

packages, devices, links, cuda = {}, [], [], None
for name in ("torch", "transformers", "peft", "safetensors"):
    try:
        packages[name] = {"version": str(getattr(importlib.import_module(name), "__version__", "unknown"))}
    except BaseException as error:
        packages[name] = {"problem": f"{type(error).__name__}: {error}"}
if "version" in packages["torch"]:
    import torch

    cuda = torch.version.cuda
    if torch.distributed.is_available():
        links = [name for name in ("gloo", "nccl") if getattr(torch.distributed, f"is_{name}_available")()]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            devices.append({"name": torch.cuda.get_device_name(number), "free_bytes": free, "total_bytes": total})
about = {
    "python": platform.python_version(), "program": sys.executable, "packages": packages, "cuda": cuda,
    "devices": devices, "links": links,
}
os.write(out, (json.dumps(about) + "\n").encode())
