"""What the lists of refusal phrases say of replies with labels: `python -m tools.refusal_lists FILE [FILE …]`.

A file is a table with the columns `text` and `label`: `refusal`, `partial` (refuses, and answers all the same) or
`answer`. Further columns group the rows with `--by COLUMN`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evaluation.refusal import LISTS, Refusal
from surgery.texts.tables import read_table

LABELS = ("refusal", "partial", "answer")


@dataclass(frozen=True)
class Found:
    """How often a list finds what has a label: of n replies, of them `true` of the label."""

    n: int
    true: int
    told: int
    both: int

    @property
    def precision(self) -> float | None:
        """The share of those told that are of the label; None where none is told."""
        return self.both / self.told if self.told else None

    @property
    def recall(self) -> float | None:
        """The share of those of the label that are told; None where there is none."""
        return self.both / self.true if self.true else None


def found(labels: Sequence[str], texts: Sequence[str], phrases: str, label: str = "refusal") -> Found:
    """Holds a list against labels; `partial` is told by `modern` alone."""
    scores = Refusal(phrases=phrases).score(texts, texts)
    name = {"refusal": "jailbreak/refusal_rate", "partial": "jailbreak/partial_rate"}[label]
    told = [bool(score) for score in scores.get(name, [0.0] * len(texts))]
    true = [one == label for one in labels]
    return Found(len(texts), sum(true), sum(told), sum(a and b for a, b in zip(true, told, strict=True)))


def main(files: Annotated[list[Path], typer.Argument()], by: str | None = None, show: bool = False) -> None:
    """Precision and recall of each list, for all rows and by a column."""
    rows: list[tuple[str, str, str]] = []
    for file in files:
        table = read_table(file, "the file of replies")
        groups = table.column(by) if by else ["all"] * len(table)
        rows += [
            (str(group), str(label), str(text))
            for group, label, text in zip(groups, table.column("label"), table.column("text"), strict=True)
        ]
    drawn = Table("list", "of", "rows", "label", "told", "precision", "recall")
    for group in [*dict.fromkeys(row[0] for row in rows), *(["all"] if by else [])]:
        some = [row for row in rows if row[0] == group or (by and group == "all")]
        labels, texts = [row[1] for row in some], [row[2] for row in some]
        for phrases in LISTS:
            for label in ("refusal", "partial") if phrases == "modern" else ("refusal",):
                one = found(labels, texts, phrases, label)
                drawn.add_row(
                    f"{phrases} ({label})", group, str(one.n), str(one.true), str(one.told), *map(_share, _pair(one))
                )
    Console(width=120).print(drawn)
    if show:
        _show(rows)


def _show(rows: Sequence[tuple[str, str, str]]) -> None:
    """The replies that `modern` takes for something else."""
    for group, label, text in rows:
        scores = Refusal(phrases="modern").score([text], [text])
        told = "refusal" if scores["jailbreak/refusal_rate"][0] else "answer"
        told = "partial" if scores["jailbreak/partial_rate"][0] else told
        if told != label:
            typer.echo(f"[{group}] {label}, taken for {told}: {text!r}")


def _pair(one: Found) -> tuple[float | None, float | None]:
    return one.precision, one.recall


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    typer.run(main)
