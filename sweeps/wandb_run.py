"""One cell as a run of Weights & Biases: how it is opened, and what it is told."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from surgery.errors import InputError
from sweeps.records import EDIT, SAMPLES, Record

if TYPE_CHECKING:
    from surgery.probe import Probe

Mode = Literal["online", "offline"]
MODES = ("auto", "online", "offline")
# Rows of the samples table; the whole of it stays in samples.parquet.
TABLE_ROWS = 200
TABLE_COLUMNS = ("measurement", "half", "sample", "prompt", "base", "edited", "base_score", "edited_score")


def wandb_mode(asked: str) -> Mode:
    """`online` or `offline`: for `auto`, online only when a key is configured; a key is never asked for.

    Raises:
        InputError: for an unknown mode, or `online` without a key.
    """
    if asked not in MODES:
        raise InputError(f"tracking.mode={asked} is unknown; it is one of {', '.join(MODES)}")
    if asked == "offline" or (asked == "auto" and os.environ.get("WANDB_MODE", "online") != "online"):
        return "offline"
    if has_key():
        return "online"
    if asked == "online":
        raise InputError(
            "tracking.mode=online, but no key is configured; run 'wandb login', or say tracking.mode=offline"
        )
    return "offline"


def server() -> str:
    """The address of the W&B server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def has_key() -> bool:
    """Whether `wandb login` left a key, or the environment holds one; found out without asking or a network."""
    from requests.utils import get_netrc_auth

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return get_netrc_auth(server()) is not None


def require_server() -> None:
    """W&B itself would try again for hours before it says that nobody answers.

    Raises:
        InputError: when the server can't be reached.
    """
    import requests

    try:
        requests.get(server(), timeout=10)
    except requests.RequestException as error:
        raise InputError(f"{server()} can't be reached ({type(error).__name__}); nothing was sent") from None


def require_tags(tags: Any) -> list[str]:
    """The tags of a run, as the config gives them.

    Raises:
        InputError: when they are no list, or one is longer than W&B takes.
    """
    found = [] if tags is None else tags
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise InputError(f"tracking.tags={tags} is no list; write tracking.tags=[{tags}]")
    texts = [str(tag) for tag in found]
    for tag in texts:
        if not 1 <= len(tag) <= 64:
            raise InputError(f"tracking.tags: '{tag}' has {len(tag)} characters; a tag has 1 to 64")
    return texts


def open_run(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    mode: Mode,
    group: str,
    name: str,
    config: Mapping[str, Any],
    run_id: str | None = None,
) -> Any:
    """A new run, whatever others are open.

    Args:
        tracking: `project`, `entity` and `tags`.
        folder: W&B makes its own `wandb` folder below this one.
        mode: `offline` needs neither a key nor a network.
        group, name: the sweep, and what was swept.
        config: what the run was made with.
        run_id: its id; W&B makes one up when None.
    """
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    return wandb.init(
        project=tracking.get("project"),
        entity=tracking.get("entity"),
        tags=require_tags(tracking.get("tags")),
        group=group,
        name=name,
        id=run_id,
        config=dict(config),
        # Absolute, since another process of W&B writes there.
        dir=str(folder.absolute()),
        mode=mode,
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False),
    )


def log_record(run: Any, record: Record, folder: Path, probe: "Probe | None") -> None:
    """Tells a run what a cell's record says, and ends it.

    Args:
        run: an open run.
        record: of a cell that ended.
        folder: of the cell.
        probe: kept as an artifact where there is one.
    """
    if record.status == "done":
        _log_done(run, record, folder, probe)
    else:
        run.summary.update({"status": record.status, "error": record.error})
    # Given up on purpose is no failure.
    run.finish(exit_code=1 if record.status == "failed" else 0)


def finish_writing() -> None:
    """Waits until the logs of all runs of this process are on disk: W&B's own process writes on after a run's end."""
    import wandb

    wandb.teardown()


def _log_done(run: Any, record: Record, folder: Path, probe: "Probe | None") -> None:
    import pandas as pd
    import wandb

    samples = pd.read_parquet(folder / SAMPLES, columns=list(TABLE_COLUMNS))
    shown = samples[samples["half"] == "report"].groupby("measurement", sort=False).head(TABLE_ROWS)
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
            "/p": metric.get("p"),
        }
        found |= {name + suffix: value for suffix, value in values.items() if value is not None}
    return found
