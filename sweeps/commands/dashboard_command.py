"""`sweeps dashboard`: a workspace of Weights & Biases for a sweep."""

from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from sweeps.records.sweep import Name, Output, Protocol, config_of, finished_records, shared_choice, sweep_folder
from sweeps.results.protocols import by_protocol, measured_alike
from sweeps.terminal.cell_tables import console


def dashboard(
    name: Name,
    project: Annotated[str, typer.Option(help="in place of the one the cells were logged for")] = "",
    entity: Annotated[str, typer.Option(help="user or team; without it the key's own")] = "",
    json: Annotated[Path | None, typer.Option("--json", help="write it to this file; needs no account")] = None,
    protocol: Protocol = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Builds a workspace in Weights & Biases: trade-off, heat maps, importance and samples of a sweep."""
    from sweeps.config.wandb_settings import require_destination
    from sweeps.tracking.dashboard import Shown, workspace
    from sweeps.tracking.sync import PROJECT
    from sweeps.tracking.wandb_run import require_server

    folder = sweep_folder(name, output_dir)
    done = [record for record in finished_records(name, output_dir) if record.status == "done" and record.metrics]
    if not done:
        raise InputError(f"sweep '{name}' has no cell that is done; `sweeps status {name}` says why")
    logged = config_of(folder / done[0].cell).get("tracking", {})
    project = project or str(logged.get("project") or PROJECT)
    entity = entity or str(logged.get("entity") or "")
    alike = measured_alike(done, folder, protocol)
    shown = Shown.of(alike, shared_choice(folder, alike))
    only = alike[0].protocol if len(by_protocol(done)) > 1 else ""
    to = console()
    if json is not None:
        from surgery.files.whole_files import written_whole

        built = workspace(folder.name, shown, entity, project, only)
        with written_whole(json) as temporary:
            temporary.write_text(built._to_model().model_dump_json(indent=1, by_alias=True, exclude_none=True))
        to.print(f"wrote {json}", markup=False, soft_wrap=True)
        return
    require_destination(project, entity, "or write it with --json FILE")
    require_server()
    import wandb

    try:
        entity = entity or str(wandb.Api(timeout=30).default_entity)
        saved = workspace(folder.name, shown, entity, project, only).save()
    except (wandb.Error, ValueError) as error:
        raise InputError(f"W&B did not take the workspace: {' '.join(str(error).split())}") from None
    to.print(saved.url, markup=False, soft_wrap=True)
