#!/bin/bash
# What a package puts on a host: every file in its place, and a daemon that runs VMs with no more rights than
# its unit gives it. (lint/units has systemd look at the units.)
# VMMD_BIN: the build directory.
set -u
src=${VMMD_SRC:-.} bin=${VMMD_BIN:-build/dev}
work=$(mktemp -d "${TMPDIR:-/tmp}/vmmd-package-XXXXXX")
pid=
# shellcheck disable=SC2317 # called by trap
cleanup()
{
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

fail()
{
    echo "FAILED: $1"
    exit 1
}

installs()
{
    DESTDIR=$work/root cmake --install "$bin" --prefix /usr >"$work/install.log" 2>&1 || { cat "$work/install.log"; return 1; }
    for file in usr/libexec/vmmd/{vmmd,vmmd-front,vmmd-main,vmmd-worker,vmmd-jail,vmmd-net,vmmd-split,vmmd-pack,vmmd-inspect,vmmd-pam,vmmd-kvmtest,vmmd-preload.so,vmmd-hold,vmmd-battery} \
        usr/bin/vmmctl usr/lib/systemd/system/{vmmd,vmmd-workers,vmmd-guests}.service usr/lib/sysusers.d/vmmd.conf \
        usr/lib/tmpfiles.d/vmmd.conf etc/vmmd/vmmd.conf etc/pam.d/vmmd usr/share/man/man1/vmmctl.1 usr/share/man/man8/vmmd.8 \
        usr/share/man/man5/vmmd.conf.5; do
        [ -e "$work/root/$file" ] || { echo "missing: /$file"; return 1; }
    done
}

starts_with_its_rights()
{
    local set caps port dir=$work/run
    [ "$(id -u)" = 0 ] || { echo "  (needs root)"; return 0; }
    set=$(sed -n 's/^CapabilityBoundingSet=//p' "$src/packaging/systemd/vmmd.service")
    caps=-all$(for cap in $set; do printf ',+%s' "$(tr '[:upper:]' '[:lower:]' <<<"${cap#CAP_}")"; done)
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir -p "$dir/etc" "$dir/pools" && chmod 755 "$work" "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -keyout "$dir/etc/key.pem" -out "$dir/etc/cert.pem" 2>/dev/null
    chown "$(id -u vmmd 2>/dev/null || echo 1000000)" "$dir/pools" && chmod 700 "$dir/pools"
    cat >"$dir/etc/vmmd.conf" <<EOF
[vmmd]
listen = 127.0.0.1:$port
tls_cert = $dir/etc/cert.pem
tls_key = $dir/etc/key.pem
state_dir = $dir/state
run_dir = $dir/run
[pool-root main]
path = $dir/pools
EOF
    setpriv --bounding-set="$caps" --inh-caps=-all "$bin/vmmd" --config "$dir/etc/vmmd.conf" 2>"$work/log" &
    pid=$!
    for _ in $(seq 300); do
        curl -fsS -o "$work/reply" --unix-socket "$dir/run/api.sock" http://localhost/api/v1/version 2>/dev/null && break
        kill -0 "$pid" 2>/dev/null || break
        read -rt 0.1 <><(:) || true # asked again until it answers
    done
    [ -s "$work/reply" ] || { tail -5 "$work/log"; return 1; }
    curl -fsS --unix-socket "$dir/run/api.sock" -H 'Content-Type: application/json' -H 'Prefer: wait=30' \
        -d '{"name":"main","root":"main"}' http://localhost/api/v1/pools >/dev/null || return 1
    # a worker with its jail is what takes all the rights
    curl -fsS --unix-socket "$dir/run/api.sock" -H 'Content-Type: application/json' -H 'Prefer: wait=50' \
        -d '{"name":"v","memory_bytes":67108864,"nics":[],"start":true}' http://localhost/api/v1/vms >"$work/vm" ||
        { cat "$work/vm"; tail -5 "$work/log"; return 1; }
    curl -fsS --unix-socket "$dir/run/api.sock" -H 'Content-Type: application/json' -H 'Prefer: wait=30' \
        -d '{}' http://localhost/api/v1/vms/v/actions/stop >/dev/null
}

installs || fail "not every file is in its place"
starts_with_its_rights || fail "the daemon does not run VMs with the rights of its unit"
