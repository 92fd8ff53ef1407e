"""Files of the Hugging Face hub, fetched once and kept in its cache; whatever goes wrong is one sentence.

A file of a dataset is written `hf://datasets/OWNER/NAME@REVISION/PATTERN`, as pandas, polars and fsspec write it.
`@REVISION` may be left out; a pattern (`data/train-*.parquet`) may name several files.
"""

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from surgery.errors import InputError

SCHEME = "hf://"
# Seconds until a hub that says nothing is taken for one that does not answer.
_PATIENCE = 5
_DATASET_FILE = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<pattern>.+)")


@dataclass(frozen=True)
class HubFiles:
    """Some files of a dataset on the hub.

    Attributes:
        name: `OWNER/NAME`.
        revision: branch, tag or commit; None is the main branch.
        pattern: a path in it, `*` and `?` allowed.
    """

    name: str
    revision: str | None
    pattern: str

    @classmethod
    def parse(cls, address: str, key: str) -> "HubFiles":
        """Raises InputError when an `hf://` address names no file of a dataset; `key` is what it was given as."""
        if not (match := _DATASET_FILE.fullmatch(address)):
            raise InputError(f"{key} '{address}' names no file; write hf://datasets/OWNER/NAME@REVISION/PATH")
        return cls(match["name"], match["revision"], match["pattern"])

    def fetch(self, key: str, where_else: str = "") -> list[Path]:
        """The files on this machine, by name; raises InputError, see `snapshot`, or when none matches."""
        where_else = where_else or "give the path of a local copy"
        folder = snapshot("dataset", self.name, self.revision, [self.pattern], key, where_else)
        below = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        found = [below[name] for name in sorted(below) if fnmatch(name, self.pattern)]
        if not found:
            at = f" at revision '{self.revision}'" if self.revision else ""
            raise InputError(f"{key}: the dataset '{self.name}' holds no '{self.pattern}'{at}; {where_else}")
        return found


def on_the_hub(path: object) -> bool:
    """Whether a path given by a person is an address on the hub."""
    return isinstance(path, str) and path.startswith(SCHEME)


def snapshot(
    kind: Literal["model", "dataset"],
    name: str,
    revision: str | None,
    patterns: Sequence[str],
    key: str,
    where_else: str,
) -> Path:
    """The folder in the hub's cache with the files that match, fetched where they are not there yet.

    Args:
        kind, name, revision: of the repository.
        patterns: of the files, `*` and `?` allowed.
        key: what the name was given as, for the sentence; `model.path`, say.
        where_else: the end of that sentence: what can be done instead.

    Raises:
        InputError: when the hub refuses (says which licence to accept, and how to log in), has no such repository
            or revision, can't be reached, or may not be asked, and the cache does not hold the files either.
    """
    from huggingface_hub import errors, snapshot_download

    told, wanted = f"{key} '{name}'", list(patterns)
    try:
        with _quiet_hub():
            return Path(snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=wanted))
    except errors.GatedRepoError:
        raise InputError(
            f"{told} is gated: accept its licence at {_page(kind, name)}, log in with 'hf auth login' or set HF_TOKEN, "
            "and try again"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{told} has no revision '{revision}'; give a branch, tag or commit that it has") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{told} is no {kind} that the hub shows you: mind the spelling, log in with 'hf auth login' if it is "
            f"private, or {where_else}"
        ) from None
    # HTTPError is httpx's, whichever httpx the library uses; a name the hub does not allow is a ValueError.
    except (errors.HfHubHTTPError, errors.HTTPError, OSError, ValueError) as error:  # type: ignore[attr-defined]
        # The library looks into its cache when nobody answers, but not when the answer breaks off.
        with suppress(errors.HTTPError, OSError, ValueError), _quiet_hub():  # type: ignore[attr-defined]
            cached = snapshot_download(
                name, repo_type=kind, revision=revision, allow_patterns=wanted, local_files_only=True
            )
            return Path(cached)
        absent = "is no folder here, and it could" if kind == "model" else "could"
        raise InputError(f"{told} {absent} not be fetched: {_reason(error)}; {where_else}") from None


@contextmanager
def cache_where_the_hub_is_silent() -> Iterator[bool]:
    """Within it, libraries that fetch by themselves look into their caches at once where the hub does not answer.

    They would ask it again and again, for half a minute. Gives whether the hub answers.
    """
    import datasets
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    offline = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    answers = not constants.HF_HUB_OFFLINE
    if answers:
        try:
            # One that is out of order would be asked again and again, too.
            status = get_session().head(constants.ENDPOINT, timeout=_PATIENCE).status_code
            answers = status < HTTPStatus.INTERNAL_SERVER_ERROR
        except (errors.HTTPError, OSError):  # type: ignore[attr-defined]
            answers = False
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = not answers
    try:
        yield answers
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = offline


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the library's log, since what is wrong is raised; and without its bars where nobody watches them."""
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    level, had_bars = get_verbosity(), not are_progress_bars_disabled()
    set_verbosity(logging.CRITICAL)
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        set_verbosity(level)
        if had_bars:
            enable_progress_bars()


def _page(kind: str, name: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"


def _reason(error: Exception) -> str:
    """What is behind an error of the library, which tells a whole paragraph."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    if isinstance(error, HFValidationError):
        return "the hub allows no such name"
    chain: list[BaseException] = [error]
    while (behind := chain[-1].__cause__ or chain[-1].__context__) is not None and behind not in chain:
        chain.append(behind)
    if any(isinstance(one, OfflineModeIsEnabled) for one in chain) or constants.HF_HUB_OFFLINE:
        return "it is not in the cache, and HF_HUB_OFFLINE=1 forbids asking the hub"
    answers = [response for one in chain if (response := getattr(one, "response", None)) is not None]
    status = answers[0].status_code if answers else None
    if status == 401:
        return f"{constants.ENDPOINT} does not know this login (401), log in again with 'hf auth login'"
    if status is not None:
        return f"{constants.ENDPOINT} answered {status}"
    if any(type(one).__module__.split(".")[0] in ("httpx", "httpcore", "httpx2", "httpcore2") for one in chain):
        return f"the connection to {constants.ENDPOINT} failed ({type(chain[-1]).__name__}), and the cache lacks it"
    return " ".join(str(error).split()) or type(error).__name__
