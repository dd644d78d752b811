#!/usr/bin/env bash
# From nothing to a model and a picture:   launch/reproduce.sh <preset> <dir>
#
# Presets: smoke (minutes), nano (hours on 2 CPU cores), small, paper. Run it again after a stop:
# what is done is skipped, what was interrupted goes on from its last checkpoint. SUBJECTS=N renders
# another number of subjects than the preset's, PYTHON=... chooses the interpreter.
set -euo pipefail

if [[ $# -ne 2 || ! $1 =~ ^(smoke|nano|small|paper)$ ]]; then
  echo "usage: $0 smoke|nano|small|paper DIR" >&2
  exit 2
fi
preset=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$2"
dir=$(cd "$2" && pwd)
python=${PYTHON:-python}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# Smoke runs are over before an optimised program would have been compiled.
if [[ $preset == smoke ]]; then
  export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true ${XLA_FLAGS:-}"
fi

# Small sets and short trainings learn the linear part of people apart, and carry their own judge.
eigenplanes=() visage=() probe=()
[[ $preset == smoke || $preset == nano ]] && eigenplanes=(eigenplanes) visage=(visage) probe=(probe)

step=0
total=$((10 + 5 * ${#eigenplanes[@]}))
announce() {
  step=$((step + 1))
  printf '\n[%d/%d] %s\n' "$step" "$total" "$*"
}

# stage NAME[:FOLDER] [FLAG...]: trains one stage in $dir/FOLDER, or $dir/NAME, unless its export is
# there.
stage() {
  local name=${1%:*} folder=${1#*:}
  shift
  announce "$name"
  if [[ -f $dir/$folder/export/config.json ]]; then
    echo "done already: $dir/$folder/export"
    return
  fi
  "$python" "$root/launch/main.py" --config="$root/configs/$name.py:$preset" \
    --workdir="$dir/$folder" "$@"
}

announce data
"$python" -m rodin_jax.cli data --preset "$preset" ${SUBJECTS:+--subjects "$SUBJECTS"} --out "$dir/data"

# The towers see one picture a person: many people with few views teach them most. With 2160 they
# learn people by heart, with 7560 they hardly do.
fronts=$dir/data
longer=()
if [[ $preset == nano ]]; then
  fronts=$dir/fronts,$dir/data
  "$python" -m rodin_jax.cli data --preset nano --subjects 8400 --views 1 --seed 1 --out "$dir/fronts"
  longer=(--config.steps=4000)
fi

stage clip --config.data_dir="$fronts" "${longer[@]}"
stage fit --config.data_dir="$dir/data"
fit=fit
beside=()
for name in "${eigenplanes[@]}"; do
  # What the first fits let foretell of everybody is where everybody is fitted again from.
  stage "$name:first_$name" --config.planes_dir="$dir/fit" --config.clip_dir="$dir/clip"
  stage refit --config.data_dir="$dir/data" --config.planes_dir="$dir/fit" \
    --config.eigenplanes_dir="$dir/first_$name"
  fit=refit
  stage "$name" --config.planes_dir="$dir/$fit" --config.clip_dir="$dir/clip"
  beside=(--config.eigenplanes_dir="$dir/$name")
done
stage base --config.planes_dir="$dir/$fit" --config.clip_dir="$dir/clip" "${beside[@]}"
stage upsampler --config.planes_dir="$dir/$fit" --config.clip_dir="$dir/clip" "${beside[@]}"

# The refiner learns from the same people at twice the size that it is given.
sharp=$dir/data
case $preset in
  nano) larger=(--subjects "${SUBJECTS:-320}" --views 2 --size 256) ;;
  small) larger=(--subjects "${SUBJECTS:-1000}" --views 4 --size 512) ;;
  paper) larger=(--subjects "${SUBJECTS:-2000}" --views 8 --size 1024) ;;
esac
if [[ $preset != smoke ]]; then
  sharp=$dir/sharp
  "$python" -m rodin_jax.cli data --preset "$preset" "${larger[@]}" --out "$sharp"
fi
stage refiner --config.planes_dir="$dir/$fit" --config.data_dir="$sharp" \
  --config.upsampler_dir="$dir/upsampler" --config.clip_dir="$dir/clip"

stage latent --config.data_dir="$fronts" --config.clip_dir="$dir/clip"
stage text --config.data_dir="$fronts" --config.clip_dir="$dir/clip"
for name in "${visage[@]}"; do
  stage "$name" --config.data_dir="$fronts" --config.clip_dir="$dir/clip"
done
for name in "${probe[@]}"; do
  stage "$name" --config.data_dir="$fronts"
done

announce bundle
rm -rf "$dir/bundle"
"$python" -m rodin_jax.cli bundle assemble "$dir"/{clip,$fit,base,upsampler,refiner,latent,text} \
  "${eigenplanes[@]/#/$dir/}" "${visage[@]/#/$dir/}" "${probe[@]/#/$dir/}" \
  --preset "$preset" --out "$dir/bundle"

announce picture
quick=()
[[ $preset == smoke ]] && quick=(--quick)
rm -rf "$dir/avatar"
"$python" -m rodin_jax.cli generate --bundle "$dir/bundle" --seed 1 "${quick[@]}" \
  --prompt "a smiling woman with curly red hair and round glasses" --out "$dir/avatar"
printf '\nfinished in %dm%02ds: %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$dir/avatar/preview.png"
