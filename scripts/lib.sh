# shellcheck shell=bash disable=SC2034
# What the scripts share. Sourced, never run.
#
# Who does what: root is needed for apt-get alone. Run with sudo, everything else is done as the user who called,
# so that the checkout stays theirs whatever happens half way.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${PIVOICE_VENV:-$root/.venv}
log=$root/setup.log
: "${PIVOICE_VERB:=./scripts/$(basename "$0")}" # what the user typed, for the sentence that tells what to type next
export PIVOICE_VERB
export ORT_DISABLE_TELEMETRY=1 # nothing here reports to anybody, whichever onnxruntime is installed

die() {
    printf '%s: %s\n' "$(basename "$PIVOICE_VERB")" "$1" >&2
    exit "${2:-1}"
}

# Is this sudo, by a user whose checkout this is?
called_by_sudo() {
    [ "$EUID" = 0 ] && [ "${SUDO_UID:-0}" != 0 ] && [ "$(stat -c %u "$root")" = "$SUDO_UID" ]
}

# Run a command as the user who called sudo (as ourselves without sudo).
as_caller() {
    if ! called_by_sudo; then
        "$@"
        return
    fi
    local groups=--clear-groups home=/ name=
    if IFS=: read -r name _ _ _ _ home _ < <(getent passwd "$SUDO_UID"); then
        groups=--init-groups
    fi
    env -u SUDO_UID -u SUDO_GID HOME="$home" USER="$name" LOGNAME="$name" \
        setpriv --reuid="$SUDO_UID" --regid="$SUDO_GID" "$groups" -- "$@"
}

# Give back what an earlier run as root itself left in a user's checkout.
hand_over() {
    called_by_sudo || return 0
    find "$root" -path "$root/.git" -prune -o -uid 0 -exec chown -h "$SUDO_UID:$SUDO_GID" {} +
}

# step N/M "what" COMMAND...: say it, run it with its output in the log, tell how long it took. In a terminal the
# seconds count up; elsewhere a line every half minute shows that it lives.
step() {
    local title="[$1] $2" began=$SECONDS status=0 outcome=ready
    shift 2
    [ -t 2 ] || printf '%s ...\n' "$title" >&2
    tick "$title" "$began" &
    ticker=$!
    printf '\n=== %s\n' "$title" >> "$log"
    "$@" >> "$log" 2>&1 < /dev/null || status=$?
    stop_ticker
    [ "$status" = 0 ] || outcome=failed
    [ ! -t 2 ] || printf '\r%s: %s (%d s)   \n' "$title" "$outcome" $((SECONDS - began)) >&2
    return "$status"
}

ticker=
tick() { # ends with the script, however that ends
    local every=30
    [ ! -t 2 ] || every=1
    trap 'kill $! 2> /dev/null; exit 0' TERM
    while kill -0 $$ 2> /dev/null; do
        [ ! -t 2 ] || printf '\r%s ... %d s ' "$1" $((SECONDS - $2)) >&2
        sleep "$every" & # in the background, so that TERM is heard at once
        wait $!
        [ -t 2 ] || printf '    ... %d s\n' $((SECONDS - $2)) >&2
    done
}
stop_ticker() {
    [ -z "$ticker" ] || kill "$ticker" 2> /dev/null || true
    wait "$ticker" 2> /dev/null || true
    ticker=
}
trap stop_ticker EXIT
trap 'echo; exit 130' INT

# Did the step that just failed fail for want of a network?
network_failed() {
    tac "$log" | sed '/^=== /q' | grep -qiE \
        'temporary failure (in name resolution|resolving)|could not resolve|name or service not known|network is unreachable|failed to establish a new connection|connection (timed out|refused)|no route to host|unable to connect'
}
