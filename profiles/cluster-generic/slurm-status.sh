#!/bin/sh
# What Snakemake wants to know of a job by its id: success, failed or running. This one asks Slurm.
answer=$(scontrol --oneliner show job "$1" 2>&1)
case $answer in
*" JobState=COMPLETED "*) echo success ;;
*" JobState=CANCELLED"* | *" JobState=DEADLINE "* | *" JobState=TIMEOUT "*) echo failed ;;
*" JobState=FAILED "* | *" JobState=OUT_OF_MEMORY "* | *" JobState=BOOT_FAIL "* | *" JobState=NODE_FAIL "*) echo failed ;;
# Forgotten before it was asked for: whether it succeeded nobody knows.
*"Invalid job id"*) echo failed ;;
# In the queue or running; or the controller does not answer, which passes.
*) echo running ;;
esac
