"""Results sent beside the local records: Weights & Biases, one run a cell."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol

from surgery.errors import InputError
from sweeps.plan import Experiment, Plan
from sweeps.records import EDIT, SAMPLES, Record

if TYPE_CHECKING:
    from surgery.probe import Probe

MODES = ("auto", "online", "offline")
# Rows of the samples table; the whole of it stays in samples.parquet.
TABLE_ROWS = 200


class CellTracker(Protocol):
    """Follows one cell."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage ended."""

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        """The cell ended and its record is written."""

    def close(self) -> None:
        """The cell was cut off."""


class Tracker(Protocol):
    """Follows a sweep."""

    def start(self, name: str, experiment: Experiment) -> CellTracker:
        """A cell begins; its name says what was swept."""


class Untracked:
    """Local records only."""

    def start(self, name: str, experiment: Experiment) -> "Untracked":
        return self

    def stage(self, name: str, seconds: float) -> None:
        return None

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        return None

    def close(self) -> None:
        return None


def make_tracker(plan: Plan) -> Tracker:
    """The tracker that `tracking` names.

    Raises:
        InputError: when a setting is not possible, or `tracking.mode=online` has no key.
    """
    kind = plan.tracking.get("kind")
    if kind == "none":
        return Untracked()
    if kind != "wandb":
        raise InputError(f"tracking.kind={kind} is unknown; choose tracking=wandb or tracking=none")
    return WandbTracker(plan)


def wandb_mode(asked: str) -> Literal["online", "offline"]:
    """`online` or `offline`: for `auto`, online only when a key is configured; a key is never asked for.

    Raises:
        InputError: for an unknown mode, or `online` without a key.
    """
    if asked not in MODES:
        raise InputError(f"tracking.mode={asked} is unknown; it is one of {', '.join(MODES)}")
    if asked == "offline" or (asked == "auto" and os.environ.get("WANDB_MODE", "online") != "online"):
        return "offline"
    if _has_key():
        return "online"
    if asked == "online":
        raise InputError(
            "tracking.mode=online, but no key is configured; run 'wandb login', or say tracking.mode=offline"
        )
    return "offline"


def _has_key() -> bool:
    """Whether `wandb login` left a key, or the environment holds one; found out without asking or a network."""
    from requests.utils import get_netrc_auth

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return get_netrc_auth(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")) is not None


class WandbTracker:
    """One run a cell, grouped by sweep, named by what was swept.

    Online, a run opens when its cell starts and shows each stage as it ends. Offline, it is written once, at the
    end, from the record: an offline run that is opened again makes a second one.
    """

    def __init__(self, plan: Plan) -> None:
        self._settings = plan.tracking
        self._mode = wandb_mode(str(plan.tracking.get("mode")))
        self._sweep = plan.sweep
        # Its own "wandb" folder is made below this one; absolute, since another process of W&B writes there.
        self._folder = plan.output_dir.absolute()

    def start(self, name: str, experiment: Experiment) -> "WandbCell":
        return WandbCell(self, name, experiment)

    def open(self, name: str, experiment: Experiment) -> Any:
        """A new run."""
        import wandb

        cell = experiment.cell
        self._folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=self._settings.get("project"),
            entity=self._settings.get("entity"),
            tags=list(self._settings.get("tags") or []),
            group=self._sweep,
            name=name,
            config={"cell": cell.id, **cell.keys(), "composed": experiment.config},
            dir=str(self._folder),
            mode=self._mode,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False
            ),
        )

    @property
    def opens_at_start(self) -> bool:
        """Whether a run shows while its cell runs."""
        return self._mode == "online"


class WandbCell:
    """The run of one cell."""

    def __init__(self, tracker: WandbTracker, name: str, experiment: Experiment) -> None:
        self._tracker = tracker
        self._name = name
        self._experiment = experiment
        self._run = tracker.open(name, experiment) if tracker.opens_at_start else None

    def stage(self, name: str, seconds: float) -> None:
        if self._run is not None:
            self._run.log({f"seconds/{name}": seconds})

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        run = self._run or self._tracker.open(self._name, self._experiment)
        self._run = run
        if record.status == "done":
            self._log_done(run, record, folder, probe)
        else:
            run.summary.update({"status": record.status, "error": record.error})
        run.finish(exit_code=0 if record.status == "done" else 1)
        self._run = None

    def close(self) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1)
            self._run = None

    def _log_done(self, run: Any, record: Record, folder: Path, probe: "Probe | None") -> None:
        import pandas as pd
        import wandb

        samples = pd.read_parquet(folder / SAMPLES)
        shown = samples[samples["half"] == "report"].groupby("measurement", sort=False).head(TABLE_ROWS)
        shown = shown.drop(columns=["weight", "stratum"], errors="ignore")
        run.log({**flat(record.metrics), "samples": wandb.Table(dataframe=shown.astype(object).fillna(""))})
        run.summary.update(
            {"status": record.status, **{f"seconds/{stage}": value for stage, value in record.seconds.items()}}
        )
        with TemporaryDirectory() as temporary:
            edit = wandb.Artifact(f"edit-{record.cell}", type="edit", metadata={"cell": record.cell})
            edit.add_file(str(folder / EDIT))
            run.log_artifact(edit)
            if probe is not None:
                path = Path(temporary) / "probe.safetensors"
                probe.save(path)
                artifact = wandb.Artifact(f"probe-{probe.fingerprint}", type="probe", metadata=dict(probe.metrics))
                artifact.add_file(str(path))
                run.log_artifact(artifact)


def flat(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Metrics under the names of results.csv; what was not measured is left out."""
    found: dict[str, float] = {}
    for name, metric in metrics.items():
        low, high = metric["ci95"]
        values = {
            "": metric["edited"],
            "/base": metric["base"],
            "/delta": metric["delta"],
            "/ci_low": low,
            "/ci_high": high,
        }
        found |= {name + suffix: value for suffix, value in values.items() if value is not None}
    return found
