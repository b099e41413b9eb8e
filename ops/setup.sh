#!/bin/sh
# Makes the virtual environment that `make` works in: finds a Python, installs the locked packages and the
# project itself. It decides nothing about versions; requirements/dev.txt does.
#
# usage: sh ops/setup.sh VENV_DIR
set -eu
venv=$1

# A container image may switch bytecode off; every start of the command would then compile everything anew.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME || true

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

install_venv_module() { # Debian ships it apart from Python
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null 2>&1
}

find_python() {
    names=${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}
    bare=
    for name in $names; do
        is_new_enough "$name" || continue
        if can_make_venv "$name"; then echo "$name"; return; fi
        bare=${bare:-$name}
    done
    if [ -n "$bare" ] && install_venv_module "$bare"; then echo "$bare"; return; fi
    if [ -n "$bare" ]; then
        echo "setup: $bare cannot make virtual environments. Install its venv module (Debian: apt-get install python3-venv) and repeat." >&2
    else
        echo "setup: no Python 3.11 or newer among: $names. Install one, or name it: make setup PYTHON=/path/to/python3" >&2
    fi
    return 1
}

if ! { [ -x "$venv/bin/python" ] && is_new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
    python=$(find_python)
    echo "setup: making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

pip_install() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --root-user-action=ignore "$@"; }
echo "setup: installing the locked packages"
pip_install --require-hashes -r requirements/dev.txt
pip_install --no-deps --no-build-isolation -e .
"$venv/bin/python" -m compileall -q src
echo "setup: done; the command is $venv/bin/magsag"
