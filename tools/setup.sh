#!/usr/bin/env bash
# Set up everything that Whetstone needs on Debian 12, Ubuntu 22.04 or Ubuntu 24.04.
# Safe to run again; takes a moment when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(qgis python3-qgis qgis-providers gdal-bin python3-gdal python3-jinja2 python3-venv
          qttools5-dev-tools xvfb xauth xdotool git)
PYTHON=/usr/bin/python3
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        case "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)" in
            *"ok installed"*) ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

install_packages() {
    local missing as_root=()
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as_root=(sudo)
        else
            fail "missing system packages, and neither root nor sudo to install them:" \
                 "apt-get install --no-install-recommends ${missing% }"
        fi
    fi
    say "installing system packages: ${missing% }"
    "${as_root[@]}" apt-get -q update
    # shellcheck disable=SC2086  # a list of words
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends $missing
}

# environment NAME "VENV OPTIONS" REQUIREMENTS...: made once, again when its requirements change.
environment() {
    local name=$1 options=$2 folder=.venv/$1 stamp
    shift 2
    stamp=$( { cat "$@" pyproject.toml; "$PYTHON" --version; pwd; } | sha256sum | cut -c 1-64)
    if [ -x "$folder/bin/python" ] && [ "$(cat "$folder/whetstone-setup" 2>/dev/null)" = "$stamp" ]
    then
        return 0
    fi
    if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1 ||
       ! grep -qsxF "command = $PYTHON -m venv ${options:+$options }$PWD/$folder" \
           "$folder/pyvenv.cfg"; then
        say "making the Python environment $folder"
        rm -rf "$folder"
        # shellcheck disable=SC2086  # no option or one
        "$PYTHON" -m venv $options "$PWD/$folder"
    fi
    say "installing into $folder: $(cat "$@" | sed -e 's/[#;=].*//' | sort -u | xargs) (pinned in $*)"
    local requirements=() file
    for file in "$@"; do requirements+=(-r "$file"); done
    if [ -n "$options" ]; then # numpy stays the one that the system's GDAL was built for
        "$PYTHON" -c 'import numpy; print("numpy==" + numpy.__version__)' >"$folder/constraints.txt"
        requirements+=(-c "$folder/constraints.txt")
    fi
    "$folder/bin/python" -m pip install -q "${requirements[@]}"
    "$folder/bin/python" -m pip install -q --no-deps --no-build-isolation -e .
    "$folder/bin/python" -c 'import whetstone.engine, rasterio, tqdm, pytest'
    printf '%s\n' "$stamp" >"$folder/whetstone-setup"
}

command -v dpkg-query >/dev/null ||
    fail "this script sets up Debian and Ubuntu; elsewhere install QGIS >= 3.22 with its Python," \
         "GDAL and xvfb, and make the environments from requirements/ by hand"
install_packages
environment engine "" requirements/engine.txt requirements/deep.txt requirements/training.txt \
    requirements/dev.txt
environment qgis --system-site-packages requirements/qgis.txt
say "ready (.venv/engine and .venv/qgis)"
