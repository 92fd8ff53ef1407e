"""One cell as a run of Weights & Biases: how it is opened, and what it is told."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from surgery.errors import InputError
from surgery.files.temporary_folder import TemporaryFolder
from sweeps.config.wandb_key import server
from sweeps.config.wandb_names import LONGEST_TAG, require_tags
from sweeps.records.metric import Metrics
from sweeps.records.record import EDIT, Record
from sweeps.records.samples import read_samples
from sweeps.results.headlines import headline_metrics

if TYPE_CHECKING:
    from surgery.probe.probe import Probe

# Rows of the samples table; the whole of it stays in samples.parquet.
TABLE_ROWS = 200
# The job types of runs.
CELL, REPORT = "cell", "report"
TAGGED = ("model", "behavior", "method")
TABLE_COLUMNS = ("measurement", "half", "sample", "prompt", "base", "edited", "base_score", "edited_score")


def require_server() -> None:
    """W&B itself would try again for hours before it says that nobody answers.

    Raises:
        InputError: when the server can't be reached.
    """
    import requests

    try:
        requests.get(server(), timeout=10)
    except requests.RequestException as error:
        raise InputError(f"{server()} can't be reached ({type(error).__name__})") from None


def open_run(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    mode: Literal["online", "offline"],
    group: str,
    name: str,
    config: Mapping[str, Any],
    run_id: str | None = None,
    job_type: str = CELL,
) -> Any:
    """A new run, whatever others are open.

    Args:
        tracking: `project`, `entity` and `tags`.
        folder: W&B makes its own `wandb` folder below this one.
        mode: `offline` needs neither a key nor a network.
        group, name: the sweep, and what was swept.
        config: what the run was made with.
        run_id: its id; W&B makes one up when None.
        job_type: what kind of run it is, `CELL` or `REPORT`.
    """
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    with _plain_environment(mode):
        return wandb.init(
            project=tracking.get("project"),
            entity=tracking.get("entity"),
            tags=list(dict.fromkeys([*require_tags(tracking.get("tags")), *_default_tags(config)])),
            job_type=job_type,
            group=group,
            name=name,
            id=run_id,
            config=dict(config),
            # Absolute, since another process of W&B writes there.
            dir=str(folder.absolute()),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False
            ),
        )


def _default_tags(config: Mapping[str, Any]) -> list[str]:
    """What a run is found by beside one's own tags: its model, behavior and method."""
    return [str(config[key])[:LONGEST_TAG] for key in TAGGED if config.get(key)]


@contextmanager
def _plain_environment(mode: str) -> Iterator[None]:
    """The environment as W&B is to see it: silent, in the mode's own spelling, and with no run named for all cells."""
    # Without a handler Python prints what W&B logs, tracebacks too; what matters of it comes as an exception.
    for name in ("wandb", "opentelemetry"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    hidden = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_DISABLED", *(["WANDB_API_KEY"] if mode == "offline" else []))
    told = {"WANDB_MODE": mode, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    before = {name: os.environ.pop(name, None) for name in (*hidden, *told)}
    os.environ |= told
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


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
    import wandb

    samples = read_samples(folder, TABLE_COLUMNS)
    shown = samples[samples["half"] == "report"].groupby("measurement", sort=False).head(TABLE_ROWS)
    # Of what is in the history W&B draws a chart each: of the values that cells are compared by, and of nothing else.
    headlines = {name: record.metrics[name].edited for name in headline_metrics([record])}
    run.log({**headlines, "samples": wandb.Table(dataframe=shown.astype(object).fillna(""))})
    seconds = {f"seconds/{stage}": value for stage, value in record.seconds.items()}
    run.summary.update({"status": record.status, **flat(record.metrics), **seconds})
    with TemporaryFolder("probe") as temporary:
        edit = wandb.Artifact(f"edit-{record.cell}", type="edit", metadata={"cell": record.cell})
        edit.add_file(str(folder / EDIT))
        run.log_artifact(edit)
        if probe is not None:
            path = temporary / "probe.safetensors"
            probe.save(path)
            artifact = wandb.Artifact(f"probe-{probe.fingerprint}", type="probe", metadata=dict(probe.metrics))
            artifact.add_file(str(path))
            run.log_artifact(artifact)


def log_page(run: Any, page: Path) -> None:
    """Keeps a sweep's page as an artifact of a run, and ends it."""
    import wandb

    artifact = wandb.Artifact(f"report-{_name_of_artifact(page.parent.name)}", type=REPORT)
    artifact.add_file(str(page))
    run.log_artifact(artifact)
    run.finish()


def _name_of_artifact(name: str) -> str:
    """A sweep's name with nothing in it that W&B does not take for an artifact's."""
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:100]


def flat(metrics: Metrics) -> dict[str, float]:
    """Metrics under the names of results.csv, without how many samples; what was not measured is left out."""
    columns = (replace(metric, n=None).columns() for metric in metrics.values())
    return {name: value for row in columns for name, value in row.items() if value is not None}
