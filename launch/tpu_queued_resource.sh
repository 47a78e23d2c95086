#!/usr/bin/env bash
# A Cloud TPU slice from the queue, cfd2gray on all of its hosts, and a training run that survives preemption.
#
#   launch/tpu_queued_resource.sh --name paper --project P --zone us-west4-a --accelerator v5litepod-256 \
#     --source gs://BUCKET/cfd2gray.whl --mount BUCKET -- --config paper_scale \
#     --config.data.dir=/mnt/shared/records --workdir /mnt/shared/runs/paper
#
# --dry-run prints every command and runs none. --spot asks for preemptible chips. What follows -- are the arguments of
# `cfd2gray train`. The bucket is mounted on every host at /mnt/shared with Cloud Storage FUSE.
set -euo pipefail

name="" project="" zone="" accelerator="" source="" bucket="" spot="" dry="" runtime="" restarts=20

usage() { sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//'; }
fail() { echo "tpu_queued_resource.sh: $1" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case "$1" in
    --name) name=${2:?--name needs a value}; shift 2 ;;
    --project) project=${2:?--project needs a value}; shift 2 ;;
    --zone) zone=${2:?--zone needs a value}; shift 2 ;;
    --accelerator) accelerator=${2:?--accelerator needs a value}; shift 2 ;;
    --runtime) runtime=${2:?--runtime needs a value}; shift 2 ;;
    --source) source=${2:?--source needs a value}; shift 2 ;;
    --mount) bucket=${2:?--mount needs a value}; shift 2 ;;
    --max-restarts) restarts=${2:?--max-restarts needs a value}; shift 2 ;;
    --spot) spot=1; shift ;;
    --dry-run) dry=1; shift ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
for needed in name project zone accelerator source bucket; do
  [ -n "${!needed}" ] || fail "--$needed is missing (--mount for bucket); see --help"
done
[ $# -gt 0 ] || fail "the arguments of cfd2gray train are missing after --; see --help"
case "$accelerator" in
  v4-*) default=tpu-ubuntu2204-base ;;
  v5litepod-*) default=v2-alpha-tpuv5-lite ;;
  v5p-*) default=v2-alpha-tpuv5 ;;
  v6e-*) default=v2-alpha-tpuv6e ;;
  *) fail "--accelerator must be v4-N, v5litepod-N, v5p-N or v6e-N, got $accelerator" ;;
esac
runtime=${runtime:-$default}
place=(--project "$project" --zone "$zone")

run() {
  if [ -n "$dry" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

on_all_hosts() { run gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=all --command "$1"; }

create() {
  run gcloud compute tpus queued-resources create "$name" --node-id "$name" "${place[@]}" \
    --accelerator-type "$accelerator" --runtime-version "$runtime" ${spot:+--spot}
  [ -n "$dry" ] || wait_until_active
}

delete() { run gcloud compute tpus queued-resources delete "$name" "${place[@]}" --force --quiet; }

state() {
  gcloud compute tpus queued-resources describe "$name" "${place[@]}" --format 'value(state.state)' || echo UNKNOWN
}

wait_until_active() {
  local now
  while now=$(state) && [ "$now" != ACTIVE ]; do
    case "$now" in FAILED | SUSPENDED) fail "the request ended as $now" ;; esac
    echo "waiting for $name: $now"
    sleep 60
  done
}

file=$(basename "$source")
printf -v quoted '%q ' "$@"
setup="sudo mkdir -p /mnt/shared && (mountpoint -q /mnt/shared || sudo gcsfuse -o allow_other --implicit-dirs $bucket /mnt/shared)\
 && gcloud storage cp $source /tmp/$file && python3 -m venv \$HOME/cfd2gray\
 && \$HOME/cfd2gray/bin/pip install -q /tmp/$file 'jax[tpu]'"
# Outside of GKE only the machine's metadata tells JAX who the others are, so it must be asked: --distributed on.
train="\$HOME/cfd2gray/bin/cfd2gray train --distributed on ${quoted% }"

create
on_all_hosts "$setup"
attempt=0
while true; do
  code=0
  on_all_hosts "$train" || code=$?
  [ "$code" -ne 0 ] && [ "$code" -ne 2 ] && [ "$attempt" -lt "$restarts" ] || break
  attempt=$((attempt + 1))
  echo "exit code $code; restart $attempt of $restarts"
  if [ "$(state)" != ACTIVE ]; then # preempted: a new slice, the same work folder
    delete
    create
    on_all_hosts "$setup"
  fi
done
delete
exit "$code"
