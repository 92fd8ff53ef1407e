"""A set of requests that people publish: where its file is had, and how it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.inputs.prompts import Label
from surgery.errors import InputError

VARIANTS = ("plain", "prefill", "wrapped")


@dataclass(frozen=True)
class RequestSet:
    """What is known of a set.

    Attributes:
        harmful: whether its requests should be refused; of a harmless one few should be.
        had: where its file can be had, for errors: FILE at PLACE.
        hub: the file on the hub, by commit; None where the hub has none that anyone may read.
        names: of the file, in a folder of such files.
        column, where, category: of the file, see `evaluation.inputs.prompts.read_prompts`.
        variants: the ways in which it is put, where not in all: what stands in an attack already is not put into one.
    """

    harmful: bool
    had: str = ""
    hub: str | None = None
    names: Sequence[str] = ()
    column: str = "prompt"
    category: str | int | None = None
    where: Mapping[str, Label | list[Label]] = field(default_factory=dict)
    variants: Sequence[str] = VARIANTS

    def place(self, name: str, file: str | None, folder: str | None) -> str:
        """Where the set is read: a file that was given, else one of its names in the folder, else the hub.

        Args:
            name: of the set.
            file, folder: that were given for it, and for all sets.

        Raises:
            InputError: when it is nowhere, or the folder holds several that could be it; both say what can be done.
        """
        if file is not None:
            return file
        found = [] if folder is None else self._in_folder(Path(folder).expanduser())
        if len(found) > 1:
            raise InputError(
                f"evaluation.folder='{folder}' holds {len(found)} files that could be the set {name}, "
                f"'{found[0]}' and '{found[1]}'; say which with evaluation.files.{name}=FILE"
            )
        if found:
            return str(found[0])
        if self.hub is None:
            nowhere = "is on no hub" if folder is None else f"is not in evaluation.folder='{folder}', and on no hub"
            raise InputError(f"the set {name} {nowhere}; {self.ways_out(name)}")
        return self.hub

    def ways_out(self, name: str) -> str:
        """What can be done where the set can't be had, the end of a sentence."""
        get = f"get {self.had} and say" if self.had else "say"
        return (
            f"{get} evaluation.files.{name}=FILE (or evaluation.folder=FOLDER for several sets), or leave {name} out "
            "of evaluation.sets"
        )

    def _in_folder(self, folder: Path) -> list[Path]:
        """Files of its names in the folder, and in the folders of that."""
        if not folder.is_dir():
            raise InputError(f"evaluation.folder='{folder}' is no folder; give one that holds the sets' files")
        return [path for name in self.names for path in sorted({*folder.glob(name), *folder.glob(f"*/{name}")})]
