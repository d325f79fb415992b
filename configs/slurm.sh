#!/bin/bash
# A run on SLURM that survives time limits and preemption.
#
#   sbatch configs/slurm.sh configs/arc.yaml                      trains: trm fit on a configuration
#   sbatch configs/slurm.sh sudoku-t2-n2                          trains, tests and writes the ledger: trm reproduce NAME
#
# SLURM sends SIGTERM five minutes before the time is up, and when it preempts the job. The run then saves and exits with
# status 143, and the job is queued again; the same command goes on from the last checkpoint. What a lost node takes with
# it are the steps since the last of the regular checkpoints.
#SBATCH --job-name=trm
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
processes=(--trainer.devices "$SLURM_NTASKS_PER_NODE" --trainer.num_nodes "$SLURM_JOB_NUM_NODES")
if [ -f "$1" ]; then
    srun trm fit --config "$@" "${processes[@]}"
else
    devices=$((SLURM_NTASKS_PER_NODE * SLURM_JOB_NUM_NODES))
    trm reproduce "$@" --run --launch "srun --kill-on-bad-exit=1" --devices "$devices" "${processes[@]}"
fi
status=$?
if [ "$status" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
