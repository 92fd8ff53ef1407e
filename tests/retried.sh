# For the scripts that install what tests need.

retried() { # what is installed, then a command that installs it: three tries, since registries fail now and then
  local what=$1
  shift
  for try in 1 2 3; do
    "$@" && return
    echo "installing $what failed (try $try of 3)" >&2
    sleep 5
  done
  return 1
}

packages() { # Debian's, by name
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
