#!/usr/bin/env bash
# Debian's TeX Live, as much as the tables need, for the tests that compile them. Needs root.
#
#   texlive.sh install       Debian's packages, tried three times
set -euo pipefail

install() {
  command -v pdflatex >/dev/null && kpsewhich booktabs.sty >/dev/null && return
  export DEBIAN_FRONTEND=noninteractive
  for try in 1 2 3; do
    apt-get update -qq && apt-get install -y -qq --no-install-recommends texlive-latex-base texlive-latex-recommended >/dev/null && return
    echo "installing texlive-latex-base and texlive-latex-recommended failed (try $try of 3)" >&2
    sleep 5
  done
  return 1
}

case "${1:-}" in
  install) install ;;
  *) echo "usage: $0 install" >&2; exit 2 ;;
esac
