# shellcheck shell=bash disable=SC2034,SC2154
# Where the installed service lives, and how its key and its program come there: for install and uninstall.
# Sourced after lib.sh and environment.sh. Functions that run in a `step` are where bash's -e does not apply: each line
# that may fail says `|| return`.

opt=/opt/pivoice
program=$opt/venv # a link to the environment in use, so that one can be made beside it
configuration=/etc/pivoice/pivoice.toml
state=/var/lib/pivoice
key_name=assemblyai-api-key
key_plain=/etc/credstore/$key_name
key_encrypted=/etc/credstore.encrypted/$key_name
unit=/etc/systemd/system/pivoice.service
drop_ins=$unit.d # those named below are ours; others are the owner's
command=/usr/local/bin/pivoice
own_packages=/usr/local/lib/pivoice/python # of the owner's, which bring tools: outside of what an upgrade replaces
log=/var/log/pivoice-install.log

i2s() {
    local said status=0
    said=$(python3 -IB "$root/scripts/i2s.py" "$@" 2>&1) || status=$?
    [ "$status" = 0 ] || die "$said" "$status"
    [ -z "$said" ] || printf '%s\n' "$said"
}

# --- the key: never on a command line, never in the log

key='' key_is_plain=''

clean_key() { # the key of a file's content on standard input; fails where it is none
    local content
    content=$(tr -d '\r\0' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
    case $content in '' | *[[:space:]]*) return 1 ;; esac
    printf '%s' "$content"
}

read_key_file() {
    local content
    if [ "$key_file" = - ]; then
        content=$(cat)
    else
        content=$(cat -- "$key_file" 2> /dev/null) || die "cannot read the key file $key_file"
    fi
    [ -n "${content//[[:space:]]/}" ] || die "the key file $key_file is empty; it must hold the API key and nothing else"
    key=$(clean_key <<< "$content") ||
        die "the key file $key_file does not hold an API key: one line, no spaces, is expected"
}

has_key() {
    [ -s "$key_plain" ] || can_decrypt ||
        grep -qsE '^[[:space:]]*(api_key_file|token_url)[[:space:]]*=[[:space:]]*"[^"]' "$configuration"
}

can_decrypt() { # one that was encrypted on another device, or before the system was set up anew, is lost
    [ -s "$key_encrypted" ] && systemd-creds decrypt --name=$key_name "$key_encrypted" - > /dev/null 2>&1
}

take_key() {
    if [ -n "$key_file" ]; then
        read_key_file
    elif ! has_key && [ -z "$unattended" ] && [ -t 0 ]; then
        local line
        until [ -n "$key" ]; do
            read -rsp "AssemblyAI API key (not shown; Enter to give it later): " line || line=
            echo
            [ -n "$line" ] || return 0
            key=$(clean_key <<< "$line") || echo "That is no API key: one word is expected."
        done
    fi
}

# Put the key where systemd finds it. A plain one from before is encrypted now, where that is possible.
store_key() {
    if [ -z "$key" ] && [ -s "$key_plain" ]; then
        key=$(clean_key < "$key_plain") || key=
    fi
    [ -n "$key" ] || return 0
    if encrypt_key; then
        rm -f "$key_plain"
        install -m 644 "$root/systemd/encrypted-key.conf" "$drop_ins/10-key.conf"
    else
        key_is_plain=yes
        rm -f "$key_encrypted" "$drop_ins/10-key.conf" || return
        install -d -m 700 "$(dirname "$key_plain")" || return
        (umask 077 && printf '%s\n' "$key" > "$key_plain.new" && mv "$key_plain.new" "$key_plain")
    fi
}

encrypt_key() { # what cannot be read back is not kept
    command -v systemd-creds > /dev/null || return
    install -d -m 700 "$(dirname "$key_encrypted")" || return
    if (umask 077 && printf '%s\n' "$key" | systemd-creds encrypt --name=$key_name - "$key_encrypted.new") &&
        [ "$(systemd-creds decrypt --name=$key_name "$key_encrypted.new" -)" = "$key" ]; then
        mv "$key_encrypted.new" "$key_encrypted"
    else
        rm -f "$key_encrypted.new"
        return 1
    fi
}

# --- the program: made beside the one in use, which is left alone until the new one is whole

fresh='' was_running='' previous='' kept=''

wants_micro() {
    [ -n "$micro" ] || grep -qsE '^[[:space:]]*engine[[:space:]]*=[[:space:]]*"micro"' "$configuration" ||
        compgen -G "$program/lib/python3*/site-packages/pymicro_wakeword" > /dev/null
}

# What the extra mcp of pyproject.toml needs that others do not (a test compares).
mcp_packages=(annotated-types anyio certifi cffi click cryptography h11 httpcore httpx httpx-sse idna mcp pycparser
    pydantic pydantic-core pydantic-settings pyjwt python-dotenv python-multipart sse-starlette starlette
    typing-extensions typing-inspection uvicorn)

wants_mcp() {
    [ -n "$mcp" ] || grep -qsE '^[[:space:]]*\[\[[[:space:]]*tools[[:space:]]*\.[[:space:]]*mcp[[:space:]]*\]\]' "$configuration" ||
        compgen -G "$program/lib/python3*/site-packages/mcp" > /dev/null
}

locked() { # what the tests have of the packages $@, to the byte
    local name
    for name; do
        sed -n "/^$name==/,/[^\\]\$/p" "$root/scripts/requirements/test.txt"
    done
}

fingerprint() { # of everything that the program is made of
    {
        "$python" -VV
        uname -m
        echo "$extra"
        cd "$root" || return
        cat pyproject.toml scripts/requirements/run.txt scripts/environment.sh scripts/service.sh
        find pivoice -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-64
}

is_up_to_date() {
    [ "$(cat "$program/.pivoice-installed" 2> /dev/null)" = "$1" ] && "$program/bin/pivoice" --version > /dev/null 2>&1
}

install_program() {
    local made_of extra=
    choose_python
    ! wants_micro || extra=micro
    ! wants_mcp || extra="$extra mcp"
    made_of=$(fingerprint)
    if is_up_to_date "$made_of"; then
        venv=$(readlink -f "$program")
        echo "[4/$steps] the program is up to date" >&2
        return
    fi
    install -d -m 755 "$opt"
    fresh=$opt/venv.$(date +%Y%m%d-%H%M%S)
    venv=$fresh
    trap 'stop_ticker; discard_unfinished' EXIT
    install_environment "$root/scripts/requirements/run.txt"
    step "4/$steps" "pivoice itself" install_pivoice || die "cannot install pivoice into $venv; details: $log"
    echo "$made_of" > "$venv/.pivoice-installed"
}

discard_unfinished() {
    if [ -n "$fresh" ] && [ "$(readlink -f "$program")" != "$fresh" ]; then
        pkill -P $$ 2> /dev/null || true # what was stopped by a signal may still be writing there
        rm -rf "$fresh"
    fi
}

# From a copy, so that building leaves nothing of root's in the checkout.
install_pivoice() {
    local copy status=0
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --no-deps --no-input --progress-bar off)
    if [ -n "$extra" ]; then
        {
            [[ $extra != *micro* ]] || locked 'pymicro-[a-z]*'
            [[ $extra != *mcp* ]] || locked "${mcp_packages[@]}"
        } > "$venv/extra.txt"
        "${pip[@]}" --require-hashes -r "$venv/extra.txt" || return
    fi
    copy=$(mktemp -d) || return
    cp -r "$root/pivoice" "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$copy" || return
    "${pip[@]}" --no-build-isolation "$copy" || status=$?
    rm -rf "$copy"
    let_in_own_packages || return
    "$venv/bin/python" -m compileall -q "$venv/lib" || true # what does not compile is not for this Python
    [ "$status" = 0 ] || return "$status"
    "$venv/bin/pivoice" --version
}

# A directory that is not there (yet) costs nothing; what is in it comes after everything of ours.
let_in_own_packages() {
    local place
    place=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return
    echo "$own_packages" > "$place/own-packages.pth"
}

make_user() {
    getent passwd pivoice > /dev/null ||
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pivoice || return
    local group
    for group in audio gpio spi; do # sound cards; button and light; lights on an SPI HAT
        if getent group "$group" > /dev/null; then
            usermod --append --groups "$group" pivoice || return
        fi
    done
}

place_configuration() {
    install -d -m 755 "$(dirname "$configuration")" || return
    install -m 644 "$root/config/pivoice.toml" "$configuration.default" || return # what is new in it, to look up
    [ ! -e "$configuration" ] || return 0
    install -m 644 "$root/config/pivoice.toml" "$configuration.new" || return
    if [ -n "$board" ]; then # "default" is another card, as likely as not
        local line
        while read -r line; do
            sed -i "s|^#${line%% *} = .*|$line|" "$configuration.new" || return
        done < <(i2s settings "$board")
    fi
    mv "$configuration.new" "$configuration"
}

place_unit() {
    local restarts=restart-pause.conf
    [ "$(systemctl --version | sed -n '1s/[^0-9]*\([0-9]*\).*/\1/p')" -lt 254 ] || restarts=restart-steps.conf
    install -m 644 "$root/systemd/pivoice.service" "$unit" || return
    install -m 644 "$root/systemd/$restarts" "$drop_ins/10-restart.conf"
}

install_files() {
    make_user || return
    place_configuration || return
    remember_previous || return
    install -d -m 755 "$drop_ins" || return
    store_key || return
    place_unit || return
    use "$venv" || return
    ln -sfn "$program/bin/pivoice" "$command" || return
    systemctl daemon-reload
}

# A service that runs goes by the settings it read. Where they were spoilt since, no program would start with them.
refuse_spoilt_configuration() {
    [ -e "$configuration" ] && systemctl is-active --quiet pivoice.service || return 0
    local said
    said=$("$venv/bin/pivoice" config --check --config "$configuration" 2>&1) ||
        die "$said
nothing is changed, and pivoice runs on; mend the configuration, then run this again"
}

use() { # from one moment to the next
    if [ -d "$program" ] && [ ! -L "$program" ]; then
        mv "$program" "$opt/venv.old" || return # as installations were made before there was a link
    fi
    ln -sfn "$1" "$program.new" && mv -T "$program.new" "$program"
}

remember_previous() {
    ! systemctl is-active --quiet pivoice.service || was_running=yes
    if [ -L "$program" ]; then
        previous=$(readlink -f "$program")
    elif [ -d "$program" ]; then
        previous=$opt/venv.old # where `use` puts it; it still finds itself by the link
    fi
    [ -n "$previous" ] && [ "$previous" != "$venv" ] && [ -e "$unit" ] || return 0
    kept=$(mktemp -d) && cp -a "$unit" "$kept/" && { [ ! -d "$drop_ins" ] || cp -a "$drop_ins" "$kept/"; }
}

start() {
    systemctl enable pivoice.service || return
    systemctl reset-failed pivoice.service 2> /dev/null || true
    systemctl restart pivoice.service # Type=notify: back when it is ready, or has failed
}

# The new program does not start, the one before it ran: go back to that. The key stays as it was given now.
roll_back() {
    [ -n "$was_running" ] && [ -n "$kept" ] || return
    install -m 644 "$kept/pivoice.service" "$unit" || return
    [ ! -e "$kept/pivoice.service.d/10-restart.conf" ] ||
        install -m 644 "$kept/pivoice.service.d/10-restart.conf" "$drop_ins/10-restart.conf" || return
    use "$previous" || return
    systemctl daemon-reload && start
}

remove_old_programs() {
    local one
    for one in "$opt"/venv.*; do
        [ "$one" = "$(readlink -f "$program")" ] || rm -rf "$one"
    done
    [ -z "$kept" ] || rm -rf "$kept"
}
