#!/usr/bin/env bash
# Trains the packaged networks on a GPU with JAX: `lite`, then the AdaIN network on the same loss
# features, then a feed-forward network for each style given, all of these beside each other. For a
# box without internet and without TensorFlow that has jax with its CUDA plug-in.
#
#   bench/train_gpu.sh --data DIR --teachers "A.npz B.npz" --out DIR --minutes "10 15 0" \
#       [--wheels DIR] [--start DIR] [--resume DIR] [--work DIR] [--styles "A.jpg B.jpg"]
#
#   --data      folder with content/ (photos) and style/ (paintings)
#   --teachers  backbone names or .npz files; of each layer the first that has it counts
#   --minutes   for lite, AdaIN and each style, beside the teachers' time; 0 leaves one out
#   --out       receives the weights, the preview and state.tar.00, .01, ...: the run folders, in
#               parts of 15 MB, since some boxes hand back only small files
#   --start     weights to begin with: lite.weights.h5, adain.weights.h5, ...
#   --resume    where such parts of an earlier call are (default: --out)
#   --work      run folders, compiled code, stored features: many gigabytes (default: /tmp/nst-train)
#   --wheels    what Python lacks is installed from here, into --work, with nothing downloaded
#
# Needed beside jax and numpy: keras optree namex rich markdown-it-py mdurl pygments h5py absl-py
# ml-dtypes packaging typing-extensions pillow pillow-heif tqdm. Fetch what the box lacks elsewhere,
# with its Python version:
#   python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 \
#       --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d WHEELS \
#       keras optree namex pillow-heif tqdm
#
# The defaults suit one H100. Change them in the environment: BATCH=16 bench/train_gpu.sh ...
# The steps are the length of the whole schedule, over all calls; '' for as many as go into the
# minutes.
set -euo pipefail

PYTHON=${PYTHON:-python3}
BATCH=${BATCH:-32}
CROP=${CROP:-256} # the training pictures have 288 px
LEARNING_RATE=${LEARNING_RATE:-1e-3}
LITE_STEPS=${LITE_STEPS-40000}
ADAIN_STEPS=${ADAIN_STEPS-60000}
STYLE_STEPS=${STYLE_STEPS-8000}
LITE_FLAGS=${LITE_FLAGS:-} # passed on, such as --seed 1
STYLE_FLAGS=${STYLE_FLAGS:---shown $((BATCH / 4))}
# VGG19 itself costs more than all else; new crops, since a GPU looks faster than a disk reads.
ADAIN_FLAGS=${ADAIN_FLAGS:---shown $((BATCH / 2)) --crops 0}
PART=15000000 # bytes of a part of state.tar

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

data='' teachers='' out='' minutes='' wheels='' start='' resume='' work='' styles=''
while [ $# -gt 0 ]; do
    case "$1" in
    --data | --teachers | --out | --minutes | --wheels | --start | --resume | --work | --styles)
        [ $# -ge 2 ] || usage
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    *) usage ;;
    esac
done
[ -n "$data" ] && [ -n "$teachers" ] && [ -n "$out" ] && [ -n "$minutes" ] || usage
read -r lite_minutes adain_minutes style_minutes _ <<<"$minutes 0 0 0"
read -ra teachers <<<"$teachers"
read -ra styles <<<"$styles"

absolute() { if [ -e "$1" ]; then realpath "$1"; else echo "$1"; fi; }
mkdir -p "$out"
out=$(realpath "$out")
resume=$(absolute "${resume:-$out}")
data=$(absolute "$data")
for i in "${!teachers[@]}"; do teachers[i]=$(absolute "${teachers[i]}"); done
for i in "${!styles[@]}"; do styles[i]=$(absolute "${styles[i]}"); done
work=${work:-/tmp/nst-train}
mkdir -p "$work/site" "$work/runs"
work=$(realpath "$work")
root=$(realpath "$(dirname "$0")/..")
export KERAS_BACKEND=jax PYTHONUNBUFFERED=1 PYTHONPATH="$work/site:$root"
export JAX_COMPILATION_CACHE_DIR="$work/compiled"

# ---- packages ------------------------------------------------------------------------------------

missing=$($PYTHON - <<'EOF'
from importlib.util import find_spec

packages = {
    "keras": "keras", "optree": "optree", "namex": "namex", "rich": "rich", "absl": "absl-py",
    "markdown_it": "markdown-it-py", "mdurl": "mdurl", "pygments": "pygments", "h5py": "h5py",
    "ml_dtypes": "ml-dtypes", "packaging": "packaging", "PIL": "pillow",
    "typing_extensions": "typing-extensions", "pillow_heif": "pillow-heif", "tqdm": "tqdm",
}
print(*(package for module, package in packages.items() if find_spec(module) is None))
EOF
)
if [ -n "$missing" ]; then
    [ -n "$wheels" ] || { echo "Missing packages: $missing; give their --wheels." >&2 && exit 1; }
    # shellcheck disable=SC2086  # a list of words
    $PYTHON -m pip install --quiet --no-index --find-links "$wheels" --no-deps \
        --target "$work/site" $missing
fi
$PYTHON -c 'import jax; print("JAX", jax.__version__, "on", jax.devices())'

# ---- state of earlier calls, and what this one leaves --------------------------------------------

if [ ! -e "$work/runs/started" ] && ls "$resume"/state.tar.* >/dev/null 2>&1; then
    cat "$resume"/state.tar.* | tar -x -C "$work/runs"
    echo "Going on from the state in $resume."
fi
if [ ! -e "$work/runs/started" ] && [ -n "$start" ]; then
    cp -n "$start"/*.weights.h5 "$work/runs"
fi
touch "$work/runs/started"

leave() { # whatever happens: the weights, the preview, and the state in parts
    cd "$work/runs"
    for file in *.weights.h5; do [ ! -e "$file" ] || cp "$file" "$out"; done
    [ ! -e adain/preview.png ] || cp adain/preview.png "$out"
    rm -f "$out"/state.tar.*
    # The stored features of the teachers are left out: gigabytes that are computed again.
    tar -c --exclude '*.npy' --exclude '.part-*' --exclude started . |
        split -b "$PART" -d - "$out/state.tar."
    ls -l "$out"
}
trap leave EXIT

# ---- trainings -----------------------------------------------------------------------------------

train() { # COMMAND NAME MINUTES STEPS FLAG-OF-THE-TEACHERS [MORE ...]
    local command=$1 name=$2 minutes=$3 steps=$4 flag=$5
    shift 5
    [ "$minutes" != 0 ] || return 0
    echo "== $name: $minutes minutes"
    [ -z "$steps" ] || set -- "$@" --steps "$steps"
    $PYTHON -m nst_demo "$command" --photos "$data/content" "$flag" "${teachers[@]}" \
        -o "$work/runs/$name.weights.h5" --run "$work/runs/$name" --minutes "$minutes" \
        --batch "$BATCH" --crop "$CROP" --learning-rate "$LEARNING_RATE" \
        --mixed-precision "$@"
}

cd "$root"
# shellcheck disable=SC2086  # lists of flags
train train-lite lite "$lite_minutes" "$LITE_STEPS" --teacher --styles "$data/style" $LITE_FLAGS
# shellcheck disable=SC2086
train train-adain adain "$adain_minutes" "$ADAIN_STEPS" --loss-network --styles "$data/style" \
    $ADAIN_FLAGS
# One such network fills a small part of a GPU. The first compiles what the others then find.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
trainings=()
for style in "${styles[@]}"; do
    name=$(basename "${style%.*}")
    # shellcheck disable=SC2086
    train train-style "$name" "$style_minutes" "$STYLE_STEPS" --loss-network "$style" \
        $STYLE_FLAGS >"$work/$name.log" 2>&1 &
    trainings+=("$!")
    while [ ${#trainings[@]} = 1 ] && kill -0 "$!" 2>/dev/null &&
        ! grep -q '^step' "$work/$name.log"; do sleep 1; done
done
failed=0
for training in "${trainings[@]}"; do wait "$training" || failed=1; done
for style in "${styles[@]}"; do
    name=$(basename "${style%.*}")
    echo "== $name" && grep -v '^[IWE][0-9]' "$work/$name.log" | tail -n 3
done
exit $failed
