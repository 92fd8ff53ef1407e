#!/usr/bin/env bash
# Debian's Chromium and its driver, for tests of the report. Needs root.
#
#   chromium.sh install       Debian's packages, tried three times
set -euo pipefail

install() {
  command -v chromium >/dev/null && command -v chromedriver >/dev/null && return
  export DEBIAN_FRONTEND=noninteractive
  for try in 1 2 3; do
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null && return
    echo "installing chromium and chromium-driver failed (try $try of 3)" >&2
    sleep 5
  done
  return 1
}

case "${1:-}" in
  install) install ;;
  *) echo "usage: $0 install" >&2; exit 2 ;;
esac
