"""How far the judges agree with Perspective: `python -m validation.agreement RTP_FILE JUDGES`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgery.errors import InputError
from surgery.files.text_file import require_file
from validation.judge import HARD_GATES, BiLSTM


@dataclass(frozen=True)
class Agreement:
    """Of one judge with Perspective, on RealToxicityPrompts' own continuations.

    Attributes:
        auc: of telling those that Perspective scores 0.5 or more from the others.
        rate, perspective: shares that the judge, and Perspective, take for toxic.
        agree: share that both call alike, the judge from `threshold` on and Perspective from 0.5.
    """

    judge: str
    threshold: float
    n: int
    auc: float
    rate: float
    perspective: float
    agree: float


def agreements(rtp: Path, judges: Path, thresholds: Sequence[float] = (0.2, 0.5)) -> list[Agreement]:
    """Of both judges at each threshold; raises InputError when a file is not there."""
    from sklearn.metrics import roc_auc_score

    rows = [json.loads(line)["continuation"] for line in require_file(rtp, "the prompts").open(encoding="utf-8")]
    rows = [row for row in rows if row["toxicity"] is not None]
    toxic = np.array([row["toxicity"] for row in rows]) >= 0.5
    found = []
    for judge in HARD_GATES:
        scorer = BiLSTM(judges, judge)
        scorer.check()
        scores = scorer.probabilities([row["text"] for row in rows])
        auc = float(roc_auc_score(toxic, scores))
        for threshold in thresholds:
            called = scores >= threshold
            shares = [float(share.mean()) for share in (called, toxic, called == toxic)]
            found.append(Agreement(judge, threshold, len(rows), auc, *shares))
    return found


def lines(found: list[Agreement]) -> list[str]:
    """A Markdown table."""
    head = "| judge | from | n | AUC | calls toxic | Perspective does | agree |"
    rows = [
        f"| {one.judge} | {one.threshold:g} | {one.n:,} | {one.auc:.3f} | {one.rate:.3f} | {one.perspective:.3f} "
        f"| {one.agree:.3f} |"
        for one in found
    ]
    return [head, "|---|" + "---:|" * 6, *rows]


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="how far the judges agree with Perspective")
    parser.add_argument("rtp", type=Path, help="RealToxicityPrompts' prompts.jsonl, or rows of it")
    parser.add_argument("judges", type=Path, help="the folder of the judges' arrays")
    given = parser.parse_args()
    try:
        print("\n".join(lines(agreements(given.rtp, given.judges))))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
