# shellcheck shell=bash disable=SC2034
# An instance of vmmd of one's own, beside any other on this machine: directories, certificate,
# configuration, daemon, token. Sourced by ./quickstart and bench/run; the tests have tests/lib.
#
# Everything an instance has lies in three directories that end in its name. The daemon is known by
# ETC/daemon.pid, "<pid> <start time> <boot id>", so that a pid that was used again is never killed.
# All work on VMs goes through the public API, as it would for anybody.
#
# Callers set -euo pipefail, call instance_init first, and may then use:
#   $instance $etc $var $run   its name and directories   $url $cacert $auth   how to reach it
#   $bin                       where the programs are

# A proxy is never in the way of 127.0.0.1.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}" no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"

say()
{
    echo "$*" >&2
}

die()
{
    say "${0##*/}: $*"
    exit 1
}

now_ms()
{
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# until_true SECONDS COMMAND...: tries COMMAND every 50 ms; false when the time is over.
until_true()
{
    local end=$(($(now_ms) + $1 * 1000))

    shift
    until "$@"; do
        [ "$(now_ms)" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# ---- names -----------------------------------------------------------------------------------

# instance_init NAME PORT BIN_DIR UID_BASE. PORT "": the one of the last time, else 8443. As root an instance gets ids of its own (main runs as
# UID_BASE), so that instances cannot touch each other.
instance_init()
{
    instance=$1
    port=$2
    bin=$3
    uid_base=$4
    if [ "$(id -u)" = 0 ]; then
        etc=/etc/$instance
        var=/var/lib/$instance
        run=/run/$instance
    else
        etc=${XDG_CONFIG_HOME:-$HOME/.config}/$instance
        var=${XDG_STATE_HOME:-$HOME/.local/state}/$instance
        if [ -d "${XDG_RUNTIME_DIR:-}" ] && [ -O "$XDG_RUNTIME_DIR" ]; then
            run=$XDG_RUNTIME_DIR/$instance
        else
            run=/tmp/$instance-$(id -u)
        fi
    fi
    port=${port:-$(sed -n 's/^listen = 127.0.0.1://p' "$etc/vmmd.conf" 2>/dev/null || true)}
    port=${port:-8443}
    url=https://127.0.0.1:$port
    cacert=$etc/cert.pem
    auth=$etc/authorization # a header line for curl -H @FILE: keeps the token out of ps
    socket=$run/api.sock
    log=$var/vmmd.log
    pidfile=$etc/daemon.pid
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# instance_lock SECONDS: holds file descriptor 9 until the caller ends; the daemon does not inherit it.
instance_lock()
{
    mkdir -p "${etc%/*}"
    exec 9>"${etc%/*}/.$instance.lock"
    flock -w "$1" 9 || die "another ${0##*/} is at work on $instance"
}

# ---- certificate and configuration -----------------------------------------------------------

# A self-signed P-256 certificate that serves as its own CA file; made anew a week before it ends.
certificate_make()
{
    if openssl x509 -in "$cacert" -noout -checkend 604800 >/dev/null 2>&1 && [ -s "$etc/key.pem" ]; then
        return
    fi
    (
        umask 077
        openssl_selfsigned
    ) 2>"$etc/openssl.log" || die "openssl could not make a certificate: $(tail -n 1 "$etc/openssl.log")"
    rm -f "$etc/openssl.log"
    chmod 0644 "$etc/cert.pem.new"
    mv "$etc/key.pem.new" "$etc/key.pem"
    mv "$etc/cert.pem.new" "$cacert"
}

openssl_selfsigned()
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
        -keyout "$etc/key.pem.new" -out "$etc/cert.pem.new" -config - <<'EOF'
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = localhost
[ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
EOF
}

# instance_configure GUEST_DIR
instance_configure()
{
    local guest=$1

    mkdir -p "$etc" "$var"
    chmod 0755 "$etc" "$var"
    certificate_make
    {
        echo "# Written by ${0##*/}; changes are lost when it runs again."
        echo "[vmmd]"
        echo "listen = 127.0.0.1:$port"
        echo "state_dir = $var/state"
        echo "run_dir = $run"
        echo "tls_cert = $cacert"
        echo "tls_key = $etc/key.pem"
        if [ "$(id -u)" = 0 ]; then
            echo "user = $uid_base:$uid_base"
            echo "uid_base = $uid_base"
            echo "cgroup = $instance"
        fi
        echo
        echo "[pool-root main]"
        echo "path = $var/pools/main"
        echo
        echo "[pool-root second]"
        echo "path = $var/pools/second"
        echo
        echo "[boot tiny]"
        echo "kernel = $guest/vmlinuz"
        echo "initrd = $guest/initrd.img"
    } >"$etc/vmmd.conf.new"
    chmod 0644 "$etc/vmmd.conf.new"
    mv "$etc/vmmd.conf.new" "$etc/vmmd.conf"
}

# What a running daemon was started from: when this differs, it has to be started again. The guest's
# files are opened when the daemon starts, so they belong to it.
daemon_origin()
{
    local -a boot

    mapfile -t boot < <(sed -n 's/^\(kernel\|initrd\) = //p' "$etc/vmmd.conf")
    {
        cat "$etc/vmmd.conf" "$cacert"
        stat -L -c '%n %i %Y' "$bin"/vmmd* "${boot[@]}"
    } | sha256sum | cut -d' ' -f1
}

# ---- the daemon ------------------------------------------------------------------------------

# process_name PID: "<pid> <start time> <boot id>", or false when there is no such process.
process_name()
{
    local stat
    local -a field # of proc(5)'s stat from the third on, which follows the name's parenthesis

    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra field <<<"${stat##*) }"
    [ "${field[0]}" != Z ] || return 1
    echo "$1 ${field[19]} $(cat /proc/sys/kernel/random/boot_id)"
}

# named_process_alive FILE: whether the process whose name FILE holds still lives.
named_process_alive()
{
    local pid name

    [ -s "$1" ] || return 1
    read -r pid _ <"$1"
    name=$(process_name "$pid") && [ "$name" = "$(cat "$1")" ]
}

named_process_kill()
{
    local pid

    if named_process_alive "$2"; then
        read -r pid _ <"$2"
        kill "-$1" "$pid" 2>/dev/null || true
    fi
}

named_process_gone()
{
    ! named_process_alive "$1"
}

daemon_alive()
{
    named_process_alive "$pidfile"
}

daemon_healthy()
{
    curl -sf --max-time 2 --cacert "$cacert" -o /dev/null "$url/healthz" 2>/dev/null
}

daemon_healthy_or_dead()
{
    daemon_healthy || ! daemon_alive
}

daemon_stop()
{
    named_process_kill TERM "$pidfile"
    if ! until_true 30 named_process_gone "$pidfile"; then
        say "vmmd did not leave within 30 s of SIGTERM; it is killed"
        named_process_kill KILL "$pidfile"
        until_true 5 named_process_gone "$pidfile" || die "vmmd cannot be killed"
    fi
    rm -f "$pidfile"
}

port_holder()
{
    ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' |
        head -n 1
}

port_free()
{
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

daemon_spawn()
{
    local pid

    until_true 2 port_free ||
        die "port $port on 127.0.0.1 is taken${holder:+ by $holder}; end that program or choose --port"
    [ ! -e "$log" ] || mv "$log" "$log.1"
    "$bin/vmmd" --config "$etc/vmmd.conf" --check-config >"$log" 2>&1 ||
        die "vmmd refuses its configuration: $(tail -n 1 "$log")"
    setsid "$bin/vmmd" --config "$etc/vmmd.conf" </dev/null >>"$log" 2>&1 9>&- &
    pid=$!
    process_name "$pid" >"$pidfile" || die "vmmd ended at once; its last words in $log: $(tail -n 3 "$log")"
    daemon_origin >"$etc/origin"
    until_true 30 daemon_healthy_or_dead || die "vmmd does not serve $url after 30 s; see $log"
    daemon_alive || die "vmmd ended; its last words in $log: $(tail -n 3 "$log")"
}

# Starts the daemon, or starts it again when what it was made from has changed. Guests go on meanwhile.
instance_start()
{
    local holder

    if daemon_alive; then
        if [ "$(cat "$etc/origin" 2>/dev/null)" = "$(daemon_origin)" ] &&
            until_true 10 daemon_healthy_or_dead && daemon_alive; then
            return
        fi
        daemon_stop
    fi
    holder=$(port_holder)
    daemon_spawn
}

# ---- the API ---------------------------------------------------------------------------------

# api METHOD PATH [CURL OPTION...]: body on stdout. A refusal is told on stderr and is false; its
# HTTP status is in the file $work/status either way. PATH begins after /api/v1.
api()
{
    local method=$1 path=$2 status

    shift 2
    status=$(curl -sS --max-time 90 --cacert "$cacert" -H "@$auth" -X "$method" -o "$work/body" \
        -w '%{http_code}' "$@" "$url/api/v1$path") || die "$method $path: vmmd does not answer"
    echo "$status" >"$work/status"
    if [ "$status" -ge 400 ]; then
        say "$method $path: $status $(jq -r '.detail // .title' "$work/body" 2>/dev/null)"
        return 1
    fi
    cat "$work/body"
}

# api_json METHOD PATH JSON [CURL OPTION...]
api_json()
{
    local method=$1 path=$2 json=$3

    shift 3
    api "$method" "$path" -H 'Content-Type: application/json' --data-binary "$json" "$@"
}

api_exists()
{
    api GET "$1" >/dev/null 2>&1 || [ "$(cat "$work/status")" != 404 ]
}

token_works()
{
    [ -s "$auth" ] && api GET /tokens >/dev/null 2>&1
}

# An admin token named after the instance. The unix socket trusts the daemon's owner, so no token is
# needed to get the first one.
token_make()
{
    local token

    token_works && return
    curl -sS --max-time 10 --unix-socket "$socket" -o /dev/null -X DELETE \
        "http://localhost/api/v1/tokens/$instance"
    token=$(curl -sS --max-time 10 --unix-socket "$socket" -H 'Content-Type: application/json' \
        --data-binary "{\"name\":\"$instance\",\"role\":\"admin\"}" http://localhost/api/v1/tokens |
        jq -er .token) || die "vmmd gave no token over $socket; see $log"
    (
        umask 077
        echo "Authorization: Bearer $token" >"$auth.new"
    )
    mv "$auth.new" "$auth"
    token_works || die "vmmd does not accept the token it just gave; see $log"
}

# An address at which a browser chooses the password of the user "admin", who is made if need be.
page_link()
{
    curl -sS --max-time 10 --unix-socket "$socket" -H 'Content-Type: application/json' -o /dev/null \
        --data-binary '{"name":"admin","role":"admin"}' http://localhost/api/v1/users
    curl -sS --max-time 10 --unix-socket "$socket" -H 'Content-Type: application/json' \
        --data-binary '{}' http://localhost/api/v1/users/admin/actions/link | jq -er .url
}

token_text()
{
    sed 's/^Authorization: Bearer //' "$auth"
}

pool_make()
{
    api_exists "/pools/$1" || api_json POST /pools "{\"name\":\"$1\",\"root\":\"$1\"}" >/dev/null
}

# vm_state NAME: off, running, paused, ... as observed, after the job at work on it (if any) has ended.
vm_state()
{
    local job

    job=$(api GET "/vms/$1" | jq -r '.job.id // empty')
    [ -z "$job" ] || api GET "/operations/$job?wait=60" >/dev/null
    api GET "/vms/$1" | jq -r .run.state
}

vm_act()
{
    api_json POST "/vms/$1/actions/$2" '{}' -H 'Prefer: wait=60' >/dev/null ||
        die "'$2' of VM $1 failed; see $log"
    [ "$(cat "$work/status")" = 200 ] || die "'$2' of VM $1 has not ended after 60 s"
}

# ---- the serial console ----------------------------------------------------------------------

# serial_from_now VM: what serial_wait reads begins here.
serial_from_now()
{
    : >"$work/serial"
    api GET "/vms/$1/serial?offset=end" -D "$work/head" >/dev/null
    serial_next=$(header_number vmmd-serial-end)
}

# header_number NAME: from the head of the last reply that was kept.
header_number()
{
    sed -n "s/^$1: *\([0-9]*\).*/\1/Ip" "$work/head"
}

# serial_wait VM PATTERN SECONDS: reads on, by long polls, into $work/serial (without control
# characters other than newlines) until a line matches. False when time is over or the VM is off.
serial_wait()
{
    local name=$1 pattern=$2 end=$(($(now_ms) + $3 * 1000)) left

    while ! grep -qE "$pattern" "$work/serial"; do
        left=$(((end - $(now_ms)) / 1000))
        [ "$left" -gt 0 ] || return 1
        api GET "/vms/$name/serial?offset=$serial_next&wait=$((left < 5 ? left : 5))" -D "$work/head" |
            sed 's/\x1b\[6n//g' | tr -d '\000\r' >>"$work/serial" || return 1
        serial_next=$(header_number vmmd-serial-next)
        [ -s "$work/body" ] || [ "$(api GET "/vms/$name" | jq -r .run.state)" = running ] || return 1
    done
}

serial_type()
{
    api POST "/vms/$1/serial" -H 'Content-Type: application/octet-stream' --data-binary "$2"
}

# ---- the end ---------------------------------------------------------------------------------

vms_stop()
{
    local id

    for id in $(api GET '/vms?page_size=1000' | jq -r '.items[] | select(.run.state != "off") | .id'); do
        case $(vm_state "$id") in
        off | crashed) ;;
        *) vm_act "$id" stop ;;
        esac
    done
}

workers_left()
{
    local file

    for file in "$run"/vm/*/pid; do
        if named_process_alive "$file"; then
            return 0
        fi
    done
    return 1
}

workers_gone()
{
    ! workers_left
}

# The plain way is to ask vmmd; a worker that is left after that is killed, and takes its guest along.
instance_vms_end()
{
    local file

    workers_left || return 0
    if [ -x "$bin/vmmd" ] && [ -s "$etc/vmmd.conf" ]; then
        (instance_start && token_make && vms_stop) || say "vmmd could not stop all VMs"
        until_true 5 workers_gone && return
    fi
    for file in "$run"/vm/*/pid; do
        named_process_kill KILL "$file"
    done
    until_true 5 workers_gone || die "some workers cannot be killed"
}

# Removes cgroups that are empty; one with processes in it refuses.
cgroup_remove()
{
    local mount

    [ "$(id -u)" = 0 ] || return 0
    mount=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
    if [ -n "$mount" ] && [ -d "$mount/$instance" ]; then
        find "$mount/$instance" -depth -type d -exec rmdir {} + 2>/dev/null || true
    fi
}

# Ends the VMs and the daemon and removes all directories of the instance.
instance_remove()
{
    local dir

    instance_vms_end
    daemon_stop
    cgroup_remove
    for dir in "$run" "$var" "$etc"; do
        case $dir in
        */"$instance" | */"$instance"-[0-9]*) rm -rf --one-file-system "$dir" ;;
        *) die "will not remove $dir" ;;
        esac
    done
    rm -f "${etc%/*}/.$instance.lock"
}
