#!/usr/bin/env bash
# Debian's Chromium and its driver, for tests of the report. Needs root.
#
#   chromium.sh install       Debian's packages, tried three times
set -euo pipefail
. "$(dirname "$0")/../retried.sh"

install() {
  command -v chromium >/dev/null && command -v chromedriver >/dev/null && return
  retried "chromium and chromium-driver" packages chromium chromium-driver
}

case "${1:-}" in
  install) install ;;
  *) echo "usage: $0 install" >&2; exit 2 ;;
esac
