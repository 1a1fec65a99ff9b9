#!/bin/sh
# Starts and stops a vmmd of its own for tests, as root or as a user: loopback, a free port, a fresh
# directory, the fake backend allowed.
#
#   tests/lib/daemon.sh start       prints VMMD_URL, VMMD_TOKEN, VMMD_CACERT, VMMD_SOCKET, VMMD_DIR as
#                                   NAME=value lines and leaves the daemon running
#   tests/lib/daemon.sh stop DIR    SIGTERM, waits for its end, removes DIR; 1 if it had to be killed
#
# VMMD_BIN names the directory of the programs. The log is DIR/log.
set -eu

DEADLINE_S=${VMMD_DAEMON_DEADLINE_S:-40}

die() {
    echo "daemon.sh: $*" >&2
    exit 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

write_config() { # dir port
    cat >"$1/vmmd.conf" <<CONF
[vmmd]
listen = 127.0.0.1:$2
state_dir = $1/state
run_dir = $1/run
tls_cert = $1/cert.pem
tls_key = $1/key.pem
enable_fake_backend = true
auth_failures_per_minute = 0
client_certificates = true
rate_limit = 0

[pool-root main]
path = $1/pools/main

[pool-root second]
path = $1/pools/second
CONF
    chmod 0644 "$1/vmmd.conf"
}

make_certificate() { # dir
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=vmmd-test \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$1/key.pem" -out "$1/cert.pem" 2>"$1/openssl.log" ||
        die "openssl: $(cat "$1/openssl.log")"
    chmod 0600 "$1/key.pem"
}

runs() { # pid
    [ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

wait_until_served() { # dir port pid
    end=$(($(date +%s) + DEADLINE_S))
    until curl -fs --max-time 5 --cacert "$1/cert.pem" "https://127.0.0.1:$2/healthz" >"$1/healthz" 2>&1; do
        runs "$3" || return 1
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.05
    done
}

admin_token() { # dir
    curl -fsS --max-time 20 --unix-socket "$1/run/api.sock" -H 'Content-Type: application/json' \
        -d '{"name":"test-admin","role":"admin"}' http://localhost/api/v1/tokens |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])'
}

start() {
    [ -x "${VMMD_BIN:-}/vmmd" ] || die "VMMD_BIN/vmmd is not there ('${VMMD_BIN:-}')"
    dir=$(mktemp -d "${TMPDIR:-/tmp}/vmmd-daemon-XXXXXX")
    chmod 0755 "$dir" # the daemon's own user looks into it
    mkdir -m 0755 "$dir/pools"
    port=$(free_port)
    make_certificate "$dir"
    write_config "$dir" "$port"
    setsid "$VMMD_BIN/vmmd" --config "$dir/vmmd.conf" </dev/null >"$dir/log" 2>&1 &
    pid=$!
    echo "$pid" >"$dir/pid"
    if ! wait_until_served "$dir" "$port" "$pid" || ! token=$(admin_token "$dir"); then
        tail -n 40 "$dir/log" >&2
        stop "$dir" || :
        die "the daemon did not come up"
    fi
    printf 'VMMD_URL=https://127.0.0.1:%s\nVMMD_TOKEN=%s\nVMMD_CACERT=%s\nVMMD_SOCKET=%s\nVMMD_DIR=%s\n' \
        "$port" "$token" "$dir/cert.pem" "$dir/run/api.sock" "$dir"
}

stop() { # dir
    status=0
    [ -f "$1/pid" ] || die "$1 is not a directory of mine"
    pid=$(cat "$1/pid")
    kill -TERM "$pid" 2>/dev/null || :
    end=$(($(date +%s) + DEADLINE_S))
    while runs "$pid"; do
        if [ "$(date +%s)" -ge "$end" ]; then
            kill -KILL "$pid" 2>/dev/null || :
            status=1
            break
        fi
        sleep 0.05
    done
    if grep -Eq 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error: ' "$1/log"; then
        grep -E -A 30 'Sanitizer|runtime error: ' "$1/log" >&2
        status=1
    fi
    rm -rf "$1"
    return $status
}

case "${1:-}" in
start) start ;;
stop) stop "${2:?the directory that start printed}" ;;
*) die "usage: daemon.sh start | stop DIR" ;;
esac
