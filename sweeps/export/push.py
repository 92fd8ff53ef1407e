"""Sends an exported folder to the hub: what would be sent is told first, and nothing that doesn't belong there goes."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from surgery.errors import InputError
from surgery.files.gguf_place import ADAPTER_FILE, MODEL_FILE

CARD = "README.md"
CONFIGS = ("adapter_config.json", "config.json", ADAPTER_FILE, MODEL_FILE)
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
ANY_TOKEN = rb"hf_[A-Za-z0-9]{30,}"
CHUNK, OVERLAP = 1 << 20, 4096  # a token is shorter than the overlap, so none hides between two chunks
REFUSALS = {
    401: "the token is not valid (401); log in again with 'hf auth login'",
    403: "the token may not write there (403); take one with write access, or a name of your own",
    404: "there is no such place (404); check the owner's name, and that the token may see it",
}


def push_folder(
    folder: Path,
    repo: str,
    *,
    private: bool = True,
    dry_run: bool,
    say: Callable[[str], None],
    endpoint: str | None = None,
) -> str | None:
    """Tells what of an exported folder would be sent and, unless `dry_run`, sends it in one commit.

    Files of the same name there are replaced, others stay. A dry run uses no network and needs no login.

    Args:
        folder: an exported adapter, checkpoint or GGUF file, with its README.md.
        repo: `name` or `owner/name`; made when it is not there.
        private: make it private, and send nothing to one that is public already.
        say: is given each line for the person.
        endpoint: the hub's address; by default huggingface_hub's own.

    Returns: the address of the repository, or None after a dry run.

    Raises InputError when the folder is no export or holds what must not be sent, the name is not allowed, nobody is
    logged in, or the hub refuses or can't be reached.
    """
    _require_name(repo)
    files = _export_files(folder)
    _require_no_token(folder, files, _stored_tokens())
    sizes = {file: (folder / file).stat().st_size for file in files}
    access, total = "private" if private else "public", sum(sizes.values()) / 1e6
    say(f"to send to {repo} ({access}): {len(files)} files, {total:.2f} MB")
    for file, size in sizes.items():
        say(f"  {file}  {size:,} bytes")
    if dry_run:
        say("dry run: nothing was sent")
        return None
    _require_no_token(folder, files, {token := _token()})
    return _send(folder, repo, private, token, endpoint)


def _require_name(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"'{repo}' can't name a repository on the hub: {error}") from None


def _export_files(folder: Path) -> list[str]:
    """Every file under the folder, as its path there; only those of an export may be in it."""
    if not (folder / CARD).is_file() or not any((folder / config).is_file() for config in CONFIGS):
        raise InputError(
            f"'{folder}' is no exported folder: it needs {CARD} and {' or '.join(CONFIGS)}; "
            "make one with 'sweeps export'"
        )
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        file = path.relative_to(folder)
        reasons = {
            "is a link or no plain file": path.is_symlink() or not path.is_file(),
            "can run code when it is loaded": path.suffix.lower() in PICKLES,
            "is hidden": any(part.startswith(".") for part in file.parts) and str(file) != ".gitattributes",
        }
        if reason := next((reason for reason, holds in reasons.items() if holds), ""):
            raise InputError(f"'{path}' {reason}, so it is not sent; take it out of the folder, or export again")
    return [path.relative_to(folder).as_posix() for path in found]


def _stored_tokens() -> set[str]:
    """The tokens set or saved on this machine. Unlike `get_token` this never renews one over the network."""
    from huggingface_hub import constants

    saved = Path(constants.HF_TOKEN_PATH)
    texts = [os.environ.get(name, "") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")]
    texts.append(saved.read_text(encoding="utf-8", errors="replace") if saved.is_file() else "")
    return {text.strip() for text in texts if text.strip()}


def _require_no_token(folder: Path, files: list[str], tokens: set[str]) -> None:
    secret = re.compile(b"|".join([ANY_TOKEN, *(re.escape(token.encode()) for token in tokens)]))
    for file in (
        file for file in files if not file.endswith((".safetensors", ".gguf"))
    ):  # those are numbers, and large
        with (folder / file).open("rb") as stream:
            text = b""
            while chunk := stream.read(CHUNK):
                text = text[-OVERLAP:] + chunk
                if secret.search(text):
                    raise InputError(f"'{folder / file}' holds what looks like an access token; take it out, then push")


def _token() -> str:
    from huggingface_hub import get_token

    try:
        token = get_token()
    except Exception as error:  # a login that can't be renewed; the library names no common class for it
        raise InputError(f"the login to the hub failed ({type(error).__name__}); log in with 'hf auth login'") from None
    if not token:
        raise InputError("nobody is logged in to the hub; log in with 'hf auth login', or set HF_TOKEN")
    return token


def _send(folder: Path, repo: str, private: bool, token: str, endpoint: str | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # httpx's, whichever it uses

    api = HfApi(endpoint=endpoint, token=token)
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(made.repo_id).private:  # one that was there stays as it is
            raise InputError(f"'{made.repo_id}' is public already; push with --public, or give another name")
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Upload an edit of llm-surgery")
    except InputError:
        raise
    except (HTTPError, OSError, ValueError, KeyError) as error:  # the last when the answer is not a hub's
        raise InputError(f"the hub did not take '{repo}': {_reason(error, token)}") from None
    return str(made)


def _reason(error: Exception, token: str) -> str:
    code = getattr(getattr(error, "response", None), "status_code", None)
    if code in REFUSALS:
        return REFUSALS[code]
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set; unset it to push"
    text = " ".join(str(error).split()).replace(token, "***") or type(error).__name__
    return f"{text}; try again"
