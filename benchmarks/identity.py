"""How long it takes to know a model by every value of its weights, against `cat` of the same files.

    python benchmarks/identity.py [--gigabytes 2] [--rounds 5]

Saves a random sharded Llama in bfloat16 in a temporary folder, reads it once so that it lies in the page cache, and
then takes turns: `cat` of its files, and the identity of the folder. Then the identity is kept in a store, and asked
for again by another process, as a later command does. The goals are a median ratio of at most 1.5, and 0.1 s.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from export import make_base

from surgery.files.temporary_folder import TemporaryFolder
from surgery.model.fingerprints import model_identity
from surgery.model.model_files import skeleton

LATER = """
import sys, time
from pathlib import Path
from surgery.model.fingerprints import model_identity
from surgery.model.model_files import skeleton
from surgery.files.temporary_folder import TemporaryFolder
from sweeps.store.kept_digests import KeptDigests
folder = Path(sys.argv[1])
shapes = skeleton(folder)
begun = time.perf_counter()
model_identity(folder, model=shapes, keep=KeptDigests(Path(sys.argv[2])))
print(time.perf_counter() - begun)
"""


def seconds(run: Callable[[], object]) -> float:
    """Of one call, by the clock."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def main() -> None:
    """Prints the ratio of medians, and the later time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryFolder("identity") as temporary:
        folder, store = temporary / "model", temporary / "store"
        make_base(folder, given.gigabytes)
        files = sorted(map(str, folder.glob("*.safetensors")))
        size = sum(Path(file).stat().st_size for file in files)
        shapes = skeleton(folder)

        def cat() -> None:
            subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)

        def identity() -> None:
            model_identity(folder, model=shapes, keep=lambda _, make: make())

        cat()
        identity()
        rounds = [(seconds(cat), seconds(identity)) for _ in range(given.rounds)]
        for read, known in rounds:
            print(f"cat {read:.3f} s, identity {known:.3f} s, ratio {known / read:.2f}")
        medians = [statistics.median(times) for times in zip(*rounds, strict=True)]
        print(f"{size / 1e9:.2f} GB in {len(files)} files: median ratio {medians[1] / medians[0]:.2f} (goal 1.5)")
        # Files of just now are read again, see surgery.model.fingerprints.SETTLED.
        time.sleep(3)
        command = [sys.executable, "-P", "-c", LATER, str(folder), str(store)]
        first, *later = (float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(4))
        print(f"first with a store {first:.3f} s, later {statistics.median(later):.3f} s (goal 0.1)")


if __name__ == "__main__":
    main()
