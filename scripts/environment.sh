# shellcheck shell=bash disable=SC2154
# How Debian packages, a virtual environment and locked Python packages come to be: for setup and install.
# Sourced after lib.sh; wants `steps`, how many steps the script has in all.
# Functions that run in a `step` are where bash's -e does not apply: each line that may fail says `|| return`.

# pip in a virtual environment must not be told to install elsewhere; what is compiled must stay compiled.
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

debian_packages=(python3 python3-venv python3-dev gcc libc6-dev pkg-config libasound2-dev libsystemd-dev libspeexdsp1 tzdata)
if [ "$(uname -m)" = aarch64 ]; then
    debian_packages+=(swig) # lgpio has no wheel there
fi

refuse_32_bit() {
    if [ "$(getconf LONG_BIT)" = 32 ] || [[ "$(dpkg --print-architecture 2> /dev/null)" =~ ^(armhf|armel|i386)$ ]]; then
        die "this is a 32-bit system; pivoice needs a 64-bit one (Raspberry Pi OS 64-bit)"
    fi
}

need_apt_get() {
    command -v apt-get > /dev/null ||
        die "this system has no apt-get; pivoice is set up on Debian 12 or later, or Raspberry Pi OS"
}

missing_packages() {
    local name
    for name in "${debian_packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || echo "$name"
    done
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update # a broken list of somebody else's is no reason to stop: the installation tells
    apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
}

install_debian_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$EUID" != 0 ]; then
        die "Debian packages are missing (${missing[*]}); run: sudo $PIVOICE_VERB"
    fi
    if ! step "1/$steps" "Debian packages: ${missing[*]}" apt_install "${missing[@]}"; then
        if network_failed; then
            die "cannot fetch Debian packages: no network; connect and run $PIVOICE_VERB again (details: $log)"
        fi
        die "apt-get could not install ${missing[*]}; details: $log"
    fi
}

choose_python() {
    python=${PIVOICE_PYTHON:-/usr/bin/python3}
    [ -x "$python" ] || die "there is no Python at $python; set PIVOICE_PYTHON to one of version 3.11 or later"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
        die "$python is $("$python" -V 2>&1 || echo "no working Python"); pivoice needs Python 3.11 (Debian 12) or later"
}

# A virtual environment is kept while its Python is the one it was made with (after an upgrade of the system it is
# not), and while it is where it was made (its programs name that place in their first line).
venv_is_good() {
    head -n 2 "$venv/bin/pip" 2> /dev/null | grep -qF "$venv/bin/" || return 1
    "$venv/bin/python" -c "
import os, sys, pip
good = os.path.realpath(sys.prefix) == os.path.realpath(sys.argv[1]) and sys.version_info >= (3, 11)
sys.exit(not good)" "$venv" 2> /dev/null || return 1
    [ -z "${PIVOICE_PYTHON:-}" ] ||
        [ "$("$venv/bin/python" -c 'import sys; print(sys.version_info[:2])')" = "$("$python" -c 'import sys; print(sys.version_info[:2])')" ]
}

make_venv() {
    venv_is_good && return
    if [ -L "$venv" ]; then # --clear empties what it leads to, and then fails
        echo "$venv is a link to $(readlink "$venv"), which was not made here; remove the link"
        return 1
    fi
    "$python" -m venv --clear "$venv"
}

# The packages of the lock file $1, nothing else.
install_packages() {
    local lock=$1
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --no-deps --no-input --progress-bar off)
    # First what builds the rest, so that builds need nothing from outside the list.
    sed -n '/^\(setuptools\|wheel\|packaging\)==/,/[^\\]$/p' "$lock" > "$venv/build.txt"
    "${pip[@]}" --require-hashes -r "$venv/build.txt" || return
    # PYPI=1: lgpio's own switch for building with the C library inside.
    PYPI=1 "${pip[@]}" --no-build-isolation --require-hashes -r "$lock" || return
    if [ "$(uname -m)" = aarch64 ]; then
        "$venv/bin/python" -c 'import lgpio; lgpio.gpiochip_open' # the registry also has an empty package of that name
    fi
}

# Make $venv hold the packages of the lock file $1.
install_environment() {
    choose_python
    step "2/$steps" "virtual environment" make_venv ||
        die "cannot make a virtual environment in $venv with $python; details: $log"
    if ! step "3/$steps" "Python packages (about a minute)" install_packages "$1"; then
        if network_failed; then
            die "cannot fetch Python packages: no network; connect and run $PIVOICE_VERB again (details: $log)"
        fi
        die "cannot install the Python packages; details: $log"
    fi
}
