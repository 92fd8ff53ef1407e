import json
from pathlib import Path

import numpy as np
import pytest
from made_metrics import assert_named_beforehand

from evaluation.scores_from_file import ImportedScores
from surgery.errors import InputError

ROWS = [("a", "x, y", 0.9), ("a", "z", 0.5), ("b", "z", 0.1)]


def written(folder: Path, ending: str) -> Path:
    path = folder / f"scores.{ending}"
    if ending == "csv":
        path.write_text("prompt,continuation,score\n" + "\n".join(f'{p},"{c}",{s}' for p, c, s in ROWS))
    else:
        path.write_text("\n".join(json.dumps({"prompt": p, "continuation": c, "score": s}) for p, c, s in ROWS))
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_scores_are_found_by_prompt_and_continuation(tmp_path: Path, ending: str) -> None:
    scorer = ImportedScores(written(tmp_path, ending), "perspective")
    scorer.check()
    found = scorer.score(["b", "a", "a"], ["z", "z", "x, y"])
    assert_named_beforehand(scorer, found)
    np.testing.assert_array_equal(found["perspective/mean"], [0.1, 0.5, 0.9])
    np.testing.assert_array_equal(found["perspective/rate"], [0, 1, 1])


def test_what_was_not_scored_is_never_guessed(tmp_path: Path) -> None:
    scorer = ImportedScores(written(tmp_path, "csv"), "perspective")
    with pytest.raises(InputError, match=r"lacks 2 of 3 continuations, the first after 'b': 'new'"):
        scorer.score(["b", "b", "c"], ["new", "z", "z"])


def test_files_that_hold_no_scores(tmp_path: Path) -> None:
    for text, says in (
        ("prompt,score\na,1", "no column 'continuation'; its columns are prompt, score"),
        ("prompt,continuation,score\na,b,high", "no number in line 2: 'high'"),
        ("prompt,continuation,score\na,b,1\na,b,0", "two scores, again in line 3"),
    ):
        (tmp_path / "s.csv").write_text(text)
        with pytest.raises(InputError, match=says):
            ImportedScores(tmp_path / "s.csv", "x").check()
    (tmp_path / "s.txt").write_text("a")
    with pytest.raises(InputError, match=r"it is one of \.csv, \.tsv, \.json, \.jsonl, \.parquet"):
        ImportedScores(tmp_path / "s.txt", "x").check()
