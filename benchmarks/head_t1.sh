#!/bin/sh
# The whole way from raw volumes to the demonstrator, head-t1:
#
#     sh benchmarks/head_t1.sh DATA OUT
#
# DATA has head MRs in mr/ and head CTs in ct/, of other people; data_source in head_t1_about.json tells which they were.
# OUT gets a folder for each step. Run again, every step makes only what is missing, and the training goes on from its
# last checkpoint. VALIDATION names the MR held out, DEVICE where to train: minutes on an H100, days on two cores.
# Version 1 stopped at step 3,269 of these 4,200, as the GPU's time was up.

set -eu
data=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$out/drawn-mr" "$out/drawn-ct"

"$python" "$here/simulated_mr.py" "$out/simulated" "$data"/ct/*.nii.gz --each 4 --seed 0 --jobs "${JOBS:-2}"
"$python" "$here/phantom_cohort.py" "$out/drawn" --patients 8 --seed 0
for n in 1 2 3 4 5 6; do  # 7 and 8 are for demonstrator.py; the truth lies on the MR's grid
    ln -sf "../drawn/mr/p0$n.nii.gz" "$out/drawn-mr/"
    ln -sf "../drawn/truth/p0$n.nii.gz" "$out/drawn-ct/"
done
mr2ct-prepare --mr "$data/mr" --mr "$out/simulated/mr" --mr "$out/drawn-mr" \
    --ct "$data/ct" --ct "$out/simulated/ct" --ct "$out/drawn-ct" --aligned \
    --mr-percentile 0 99.5 --head-slices-only --validation "${VALIDATION:-fnndsc_adi}" --out "$out/whole"
[ -d "$out/set" ] || "$python" "$here/thin_dataset.py" "$out/whole" "$out/set" --pairs-every 5 --validation-every 8
resume=
[ ! -f "$out/run/last.ckpt" ] || resume=--resume
mr2ct-train "$out/set" --out "$out/run" $resume --device "${DEVICE:-auto}" --precision bf16-mixed --batch 8 --seed 1 \
    --anchor-weight 30 --augment --epochs 4 --epochs-linear 4 --steps-per-epoch 525

# Second, pairs alone: more simulated people, among them old ones and children, for what the first left wrong (LOG.md).
# An hour of one core. FIRST names a checkpoint to start from instead of the one above: the generator of a model folder is
# had as one by inputs.py's generator_of, and version 2 was made from version 1's. HELD_OUT names simulated people.
"$python" "$here/simulated_mr.py" "$out/simulated-2" "$data"/ct/*.nii.gz --each 6 --seed 2 --jobs "${JOBS:-2}"
set --
for person in ${HELD_OUT:-medimodel_skull-06 visible_human_male-06}; do set -- "$@" --validation "$person"; done
mr2ct-prepare --mr "$out/simulated-2/mr" --mr "$out/drawn-mr" --ct "$out/simulated-2/ct" --ct "$out/drawn-ct" --aligned \
    --mr-percentile 0 99.5 --head-slices-only "$@" --out "$out/whole-2"
[ -d "$out/set-2" ] || "$python" "$here/thin_dataset.py" "$out/whole-2" "$out/set-2" \
    --pairs-every 3 --validation-every 16
resume=
[ ! -f "$out/run-2/last.ckpt" ] || resume=--resume
mr2ct-train "$out/set-2" --out "$out/run-2" $resume --start-from "${FIRST:-$out/run/last.ckpt}" --scheme paired \
    --device "${DEVICE:-auto}" --precision bf16-mixed --batch 1 --seed 2 --augment --learning-rate 0.0001 \
    --epochs 3 --epochs-linear 3 --steps-per-epoch 200
# The weights in between: of pairs alone it learns water and thin skulls, and forgets some of the real heads' faces.
"$python" "$here/mix_checkpoints.py" "${FIRST:-$out/run/last.ckpt}" "$out/run-2/last.ckpt" "$out/mixed.ckpt" --of-second 0.6

# Third, the real MRs themselves: with the CTs that the model makes of them, freed of what anatomy rules out
# (corrected_heads.py), beside more simulated people, so that it does not learn its own answers alone. An hour of two
# cores. FIRST_MODEL is the folder of the first training's model, which is better at sinuses.
mr2ct-export "$out/mixed.ckpt" --out "$out/head-t1-2" --weights fp16 --reference "$out/drawn/mr/p07.nii.gz" --overwrite
[ -n "${FIRST_MODEL:-}" ] || mr2ct-export "${FIRST:-$out/run/last.ckpt}" --out "$out/head-t1-1" --weights fp16 \
    --reference "$out/drawn/mr/p07.nii.gz" --overwrite
set --
whole=
for mr in "$data"/mr/*.nii.gz; do
    case $mr in *"${VALIDATION:-fnndsc_adi}"*) ;; *)
        set -- "$@" "$mr"
        whole="$whole --all-of $(basename "$mr" .nii.gz)" ;;
    esac
done
"$python" "$here/corrected_heads.py" "$out/corrected" "$@" --model "$out/head-t1-2" \
    --earlier "${FIRST_MODEL:-$out/head-t1-1}"
"$python" "$here/simulated_mr.py" "$out/simulated-3" "$data"/ct/*.nii.gz --each 8 --seed 3 --jobs "${JOBS:-2}"
set --
for person in ${HELD_OUT_3:-medimodel_skull-08 visible_human_male-08}; do set -- "$@" --validation "$person"; done
mr2ct-prepare --mr "$out/corrected/mr" --mr "$out/simulated-3/mr" --mr "$out/drawn-mr" \
    --ct "$out/corrected/ct" --ct "$out/simulated-3/ct" --ct "$out/drawn-ct" --aligned \
    --mr-percentile 0 99.5 --head-slices-only "$@" --out "$out/whole-3"
# NUMBER START EVERY OPTIONS: the run of this number and seed, from a checkpoint, with each EVERYth slice of those that are not real
further() {
    number=$1
    start=$2
    every=$3
    shift 3
    # shellcheck disable=SC2086  # words of it are options
    [ -d "$out/set-$number" ] || "$python" "$here/thin_dataset.py" "$out/whole-3" "$out/set-$number" \
        --pairs-every "$every" --validation-every 16 $whole
    resume=
    [ ! -f "$out/run-$number/last.ckpt" ] || resume=--resume
    mr2ct-train "$out/set-$number" --out "$out/run-$number" $resume --start-from "$start" --scheme paired \
        --device "${DEVICE:-auto}" --precision bf16-mixed --batch 1 --seed "$number" --augment "$@"
}
further 3 "$out/mixed.ckpt" 5 --learning-rate 0.0001 --epochs 3 --epochs-linear 3 --steps-per-epoch 800
"$python" "$here/mix_checkpoints.py" "$out/mixed.ckpt" "$out/run-3/last.ckpt" "$out/mixed-3.ckpt" --of-second 0.5
# And half an hour more in which more than half of the slices are real. The shipped model's targets of the hour before were
# of an earlier state of the rules (commit 51d69b9), in which vaults were drawn thinner and a forehead could hold air.
further 4 "$out/mixed-3.ckpt" 12 --learning-rate 0.00005 --epochs 1 --epochs-linear 3 --steps-per-epoch 600

set --
calibrating=
for mr in "$data"/mr/*.nii.gz "$out"/drawn/mr/p0[123].nii.gz; do
    case $mr in *"${VALIDATION:-fnndsc_adi}"*) continue ;; */p0[23].nii.gz) ;; *) set -- "$@" --gate "$mr" ;; esac
    calibrating="$calibrating --calibration $mr"  # of paths without spaces
done
# The gate's limits are of the real MRs and one drawn one. The simulated ones, with heads that planning CTs cut off,
# would let through what the model is no good at.
mr2ct-export "$out/run-4/last.ckpt" --out "$out/head-t1" --about "$here/head_t1_about.json" --weights int8 \
    "$@" --reference "$out/drawn/mr/p07.nii.gz" --overwrite
# The other graphs are made of the fp32 one's weights; which layers bear eight bits may differ from CPU to CPU.
# shellcheck disable=SC2086
mr2ct-export "$out/head-t1" --fp16 --int8 --int8-limit 8.5 $calibrating --out "$out/head-t1" --overwrite
# A model folder that is there already gets these limits, and nothing else of it changes, by
#     mr2ct-export FOLDER --gate MR.nii.gz --gate ... --out FOLDER --overwrite
