#!/usr/bin/env bash
# Trains one stage on a SLURM cluster, one process a GPU. From the project's folder:
#
#   sbatch [--nodes=4 --time=2-0 ...] launch/slurm.sh --config=configs/base.py:paper --workdir=DIR ...
#
# DIR is on a file system that all nodes share. Two minutes before its time is over the run saves its
# state and ends; the same command goes on with it, and so does SLURM when the job was preempted.
#SBATCH --job-name=rodin
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
# Not --gpus-per-task: JAX gives the n-th process of a node the n-th GPU of those that it sees.
#SBATCH --gpus-per-node=8
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:-.}"
exec srun --kill-on-bad-exit=1 "${PYTHON:-python}" launch/main.py "$@"
