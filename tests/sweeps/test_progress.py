"""What a log, where no line can be redrawn, tells of a cell that is running."""

from io import StringIO

from rich.console import Console

from sweeps.terminal.progress import LONG_STAGE, Progress


def test_a_log_says_what_took_long_and_that_the_base_is_being_measured() -> None:
    log = StringIO()
    progress = Progress(Console(file=log, width=200), total=2)
    progress.started("a1", "a1 alpha=1.0")
    for stage, seconds in (("model", LONG_STAGE + 1), ("probe", 1.0), ("region", 0.5)):
        progress.stage("a1", stage, seconds)
    assert log.getvalue().splitlines() == ["a1 alpha=1.0: model took 21 s", "a1 alpha=1.0: measuring the base"]
