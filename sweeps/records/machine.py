"""What a cell ran on, without anything that tells whose it is."""

import os
import platform
from pathlib import Path


def machine(device: str) -> dict[str, str | int]:
    """The system, processor, threads and device of this process.

    Args:
        device: `cpu`, `cuda`, as torch names it.
    """
    import torch

    kind = torch.device(device)
    name = torch.cuda.get_device_name(kind) if kind.type == "cuda" else device
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": name,
        "python": platform.python_version(),
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
