#!/usr/bin/env bash
# Trains one stage on a Cloud TPU slice, one process a machine:
#
#   launch/tpu_vm.sh NAME ZONE --config=configs/base.py:paper --workdir=DIR ...
#
# The project is in ~/rodin_jax of every machine, with `pip install -e . 'jax[tpu]'` done, and DIR is
# on a file system that they share. PYTHON=... chooses the interpreter there.
set -euo pipefail

if [[ $# -lt 3 ]]; then
  echo "usage: $0 NAME ZONE FLAG..." >&2
  exit 2
fi
name=$1 zone=$2
shift 2
command="cd ~/rodin_jax && exec ${PYTHON:-python3} launch/main.py --distributed$(printf ' %q' "$@")"
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$command"
