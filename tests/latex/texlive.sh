#!/usr/bin/env bash
# Debian's TeX Live, as much as the tables need, for the tests that compile them. Needs root.
#
#   texlive.sh install       Debian's packages, tried three times
set -euo pipefail
. "$(dirname "$0")/../retried.sh"

install() {
  command -v pdflatex >/dev/null && kpsewhich booktabs.sty >/dev/null && return
  retried "texlive-latex-base and texlive-latex-recommended" packages texlive-latex-base texlive-latex-recommended
}

case "${1:-}" in
  install) install ;;
  *) echo "usage: $0 install" >&2; exit 2 ;;
esac
