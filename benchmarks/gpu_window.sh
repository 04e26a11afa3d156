#!/usr/bin/env bash
# Some minutes on a machine with a GPU that reaches no network: what has to be taken there, and what is done there.
#
#   bash benchmarks/gpu_window.sh prepare [DATA]                here: packs what that machine lacks and CIFAR-10 into the folder .window
#   bash benchmarks/gpu_window.sh run OUT [BUDGET] [FLAG ...]   there: installs, unpacks, runs benchmarks/gpu.py for BUDGET seconds (420)
#                                                               with these flags, then the tests marked `cuda` for TEST_SECONDS (120;
#                                                               0 leaves them out)
#   bash benchmarks/gpu_window.sh install PLACE                 there, before several runs with PLACE in the environment, also beside
#                                                               one another: they find everything in this new folder and leave it
#
# The checkout and .window, which git ignores, travel. gpu.py writes into OUT while it runs, so that what ends it costs only what was not
# measured yet. Of OUT come back at most 8 files of 16 MiB: others are moved out of it at the end, and named. DATA is a folder with
# train.tar and test.tar, by default ../shared/data/cifar10-jpeg. There Python 3.12 needs torch, torchvision, onnx, onnxruntime,
# onnxscript, matplotlib, rich, scipy, huggingface_hub, safetensors and pytest. PYTHON names the Python of either side, WINDOW another
# folder than .window.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
WINDOW="${WINDOW:-$ROOT/.window}"
PARTS=(train.tar test.tar)
PACKAGE=(nasarch search export genotypes) # folders of the package: nasarch, and its sub-packages beside it
THERE=3.12                                # Python's version on the machine with the GPU
PLATFORMS=(manylinux_2_28_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)
# what that machine lacks, with what these need but for numpy, Pillow, PyYAML, tqdm and typing_extensions
WHEELS=(tyro typeguard docstring_parser iopath portalocker yacs termcolor tabulate pycocotools "timm==1.0.31")
SOURCES=(fvcore) # not on the index as wheels
MAX_MIB=60       # of .window
MAX_FILE_MIB=16  # of a file that comes back
MAX_FILES=8

fail() {
  echo "gpu_window.sh: error: $*" >&2
  exit 1
}

in_mib() { # BYTES
  awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'
}

bytes_in() { # FOLDER: of all files in it
  find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

check_size() { # FOLDER MIB: says how large the folders in it are; fails if all are more
  local part bytes
  for part in "$1"/*; do
    echo "$(in_mib "$(bytes_in "$part")")  $(basename "$part")"
  done
  bytes="$(bytes_in "$1")"
  echo "$(in_mib "$bytes")  altogether, of $2 MiB"
  ((bytes <= $2 * 1048576)) || fail "$(in_mib "$bytes") in $1 are more than the $2 MiB that may travel: take fewer wheels or images"
}

within_limits() { # FOLDER REST: moves what can't come back from the folder to REST, and says so; small files are kept first
  local size path count=0
  while read -r size path; do
    if ((size > MAX_FILE_MIB * 1048576)); then
      echo "left out: $path, $(in_mib "$size"): more than $MAX_FILE_MIB MiB"
    elif ((++count > MAX_FILES)); then
      echo "left out: $path, $(in_mib "$size"): more than $MAX_FILES files"
    else
      continue
    fi
    mkdir -p "$2/$(dirname "$path")"
    mv "$1/$path" "$2/$path"
  done < <(find "$1" -type f -printf '%s %P\n' | sort -n)
}

copy_package() { # FOLDER: what the package is made of as it is now, without what earlier builds left
  local file
  cd "$ROOT"
  git ls-files -z --cached --others --exclude-standard -- "${PACKAGE[@]}" setup.py pyproject.toml README.md LICENSE |
    while IFS= read -r -d '' file; do
      [[ ! -e "$file" ]] || cp --parents "$file" "$1"
    done
}

prepare() {
  local data="${1:-$ROOT/../shared/data/cifar10-jpeg}" part source
  for part in "${PARTS[@]}"; do
    [[ -f "$data/$part" ]] || fail "no $part in $data: name a folder with ${PARTS[*]}"
  done
  rm -rf "$WINDOW"
  mkdir -p "$WINDOW/wheels" "$WINDOW/data"
  "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$THERE" --implementation cp \
    "${PLATFORMS[@]/#/--platform=}" --dest "$WINDOW/wheels" "${WHEELS[@]}"
  source="$(mktemp -d)"
  (copy_package "$source")
  "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$WINDOW/wheels" "${SOURCES[@]}" "$source"
  rm -rf "$source"
  for part in "${PARTS[@]}"; do
    xz -6 --threads=2 --stdout "$data/$part" >"$WINDOW/data/$part.xz"
  done
  check_size "$WINDOW" "$MAX_MIB"
}

check_package() { # SITE: the package there is that of this checkout
  local part there differing beside="Only in $1/nasarch/?: (search|export|genotypes)"
  for part in "${PACKAGE[@]}"; do
    there="$1/nasarch/${part#nasarch}"
    differing="$(diff --recursive --brief --exclude=__pycache__ "$ROOT/$part" "$there" | grep -Evx "$beside" || true)"
    [[ -z "$differing" ]] || fail "the package has changed since it was packed, prepare it again: $differing"
  done
}

unpack() { # FOLDER
  local part copy='import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))'
  mkdir "$1"
  for part in "${PARTS[@]}"; do
    "$PYTHON" -c "$copy" "$WINDOW/data/$part.xz" "$1/$part"
  done
}

run_tests() { # with -P and -p nasarch the installed package is imported, not the folder nasarch/ of this checkout
  local files how=(-m cuda -vv -rs -o filterwarnings=default -p no:cacheprovider) # -vv: a line for each, even if time runs out
  cd "$ROOT"
  mapfile -t files < <(grep -rEl --include='test_*.py' 'mark\.cuda' tests)
  timeout "${TEST_SECONDS:-120}" "$PYTHON" -P -m pytest -p nasarch "${how[@]}" "${files[@]}"
}

install() {
  local place="${1:-}" unpacking
  [[ -n "$place" ]] || fail "install PLACE: name a new folder"
  [[ -d "$WINDOW/wheels" ]] || fail "no $WINDOW: prepare it, and take it along"
  mkdir -p "$place"
  unpack "$place/data" &
  unpacking=$!
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$place/site" "$WINDOW"/wheels/*.whl
  check_package "$place/site"
  wait "$unpacking"
  echo "installed and unpacked after $SECONDS s"
}

run() {
  local out="${1:-}" budget="${2:-420}" place="${PLACE:-}" rest status=0
  [[ -n "$out" ]] || fail "run OUT [BUDGET] [FLAG ...]: name a folder for the results"
  shift "$(($# < 2 ? $# : 2))"
  mkdir -p "$out"
  if [[ -z "$place" ]]; then
    place="$(mktemp -d)"
    install "$place"
  fi
  export PYTHONPATH="$place/site" PYTHONUNBUFFERED=1
  "$PYTHON" "$ROOT/benchmarks/gpu.py" --data "$place/data" --out "$out" --budget "$budget" "$@" || status=$?
  echo "measured after $SECONDS s"
  if [[ "${TEST_SECONDS:-}" != 0 ]]; then
    (run_tests) >"$out/tests.txt" 2>&1 || status=$?
    tail -n 3 "$out/tests.txt"
  fi
  [[ "$place" == "${PLACE:-}" ]] || rm -rf "$place"
  rest="$(mktemp -d)"
  within_limits "$out" "$rest"
  rmdir --ignore-fail-on-non-empty "$rest"
  echo "ended after $SECONDS s"
  return "$status"
}

PYTHON="${PYTHON:-$({ command -v "$ROOT/.venv/bin/python" || command -v python3 || command -v python; } || true)}"
if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  case "${1:-}" in
    prepare | install | run) "$@" ;;
    *) fail "prepare [DATA], install PLACE, or run OUT [BUDGET] [FLAG ...]" ;;
  esac
fi
