"""Which run of Weights & Biases a cell was logged as: wandb.json beside its record."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from surgery.files.whole_files import written_whole

NOTE = "wandb.json"


@dataclass(frozen=True)
class Note:
    """A cell's run.

    Attributes:
        id: of the run.
        folder: the run's own folder, relative to the output folder.
        sent: whether the server has it.
    """

    id: str
    folder: str
    sent: bool

    @classmethod
    def of(cls, run: Any, output_dir: Path, *, sent: bool) -> "Note":
        """Of a run that W&B opened below `output_dir`."""
        folder = Path(run.dir).resolve().parent
        return cls(run.id, folder.relative_to(output_dir.resolve()).as_posix(), sent)

    @classmethod
    def load(cls, cell_folder: Path) -> "Note | None":
        """None where the cell was not logged, or its note can't be read: then its record is what can be sent."""
        try:
            return cls(**json.loads((cell_folder / NOTE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, cell_folder: Path) -> None:
        """Writes the note, whole or not at all."""
        with written_whole(cell_folder / NOTE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
