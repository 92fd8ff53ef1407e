#!/usr/bin/env bash
# A SLURM cluster of one node on loopback, for tests: this machine is controller and node. Needs root.
#
#   slurm.sh install          Debian's packages, tried three times
#   slurm.sh start FOLDER     configures below FOLDER, starts the daemons on $SLURM_TEST_PORT and the next, waits until
#                             the node is idle; then SLURM_CONF=FOLDER/slurm.conf finds it
#   slurm.sh stop FOLDER      cancels all jobs and ends the daemons, by their pid files
set -euo pipefail
. "$(dirname "$0")/../retried.sh"

HALF_SECONDS=60

install() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
  retried "slurm-wlm and munge" packages slurm-wlm munge
}

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

wait_until() { # how many half seconds, then a command
  local left=$1
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.5
  done
}

idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }

configure() {
  local folder=$1 host cpus memory
  host=$(hostname -s)
  cpus=$(nproc)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  mkdir -p "$folder"/{state,spool,log,run}
  cat >"$folder/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$SLURM_TEST_PORT
SlurmdPort=$(($SLURM_TEST_PORT + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=10
MinJobAge=300
InactiveLimit=0
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
  local folder
  mkdir -p "$1"
  folder=$(realpath "$1")
  configure "$folder"
  export SLURM_CONF=$folder/slurm.conf
  # A munged of its own, with its own key and socket: one that the machine already runs is left alone.
  mkdir -p "$folder/munge"
  dd if=/dev/urandom of="$folder/munge/munge.key" bs=1024 count=1 status=none
  chmod 700 "$folder/munge"
  chmod 600 "$folder/munge/munge.key"
  munged --force --key-file="$folder/munge/munge.key" --socket="$folder/run/munge.socket" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/munge/munged.log" --seed-file="$folder/munge/munged.seed"
  slurmctld -c
  wait_until $HALF_SECONDS alive "$folder/run/slurmctld.pid"
  slurmd
  if ! wait_until $HALF_SECONDS idle; then
    echo "the node is not idle; sinfo and the logs' ends:" >&2
    sinfo >&2 || true
    tail -n 5 "$folder"/log/*.log >&2
    stop "$folder"
    return 1
  fi
}

stop() {
  local folder
  folder=$(realpath "$1")
  export SLURM_CONF=$folder/slurm.conf
  [ ! -e "$SLURM_CONF" ] || timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
  local daemon pid
  for daemon in slurmd slurmctld munged; do
    if alive "$folder/run/$daemon.pid"; then
      # Read first: a daemon that ends takes its pid file along.
      pid=$(cat "$folder/run/$daemon.pid")
      kill "$pid"
      wait_until $HALF_SECONDS bash -c "! kill -0 $pid" || echo "$daemon did not end" >&2
    fi
  done
}

case "${1:-}" in
install) install ;;
start | stop) "$1" "${2:?say which folder}" ;;
*)
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
