# shellcheck shell=bash
# A container with a real systemd as its first process, at native speed: for what only shows under an init.
# Sourced by tools/systemd-trial. Needs root, util-linux and a mounted cgroup v2; nothing of it is visible
# outside but one cgroup and the directory of its files, and neither survives container_end.
#
#   container_make CACHE PACKAGE...   a Debian with these packages in CACHE/root, once
#   container_init CACHE              a place for this container's own changes; sets $files
#   container_boot                    boots it, and waits until systemd has done its part
#   container_inside COMMAND...       runs a command in it
#   container_wait SECONDS            until it has switched itself off
#   container_end                     ends it however it is, and leaves nothing; for a trap on EXIT
#   container_leaves                  says what is left of it
#
# $work is a directory of its own that goes with it. tools/machine.sh has the same functions for a whole machine.
#
# The namespaces are new ones of every kind but users: root is root, as on the host that is stood in for.
# What would change the machine below is read-only or a right that is missing: /proc/sys, /sys, modules, the
# clock. There is no network but the loopback device. Every boot has a boot id of its own.

container_pid='' container_cgroup='' container_work='' container_cache='' container_unshare=''

container_make()
{
    local cache=$1 suite
    shift
    local missing=()

    for package in "$@"; do
        chroot "$cache/root" dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "making $cache/root, with ${missing[*]}" >&2
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mkdir -p "$cache" && rm -rf "$cache/root.new"
    mapfile -t mirrors < <(find /etc/apt/sources.list /etc/apt/sources.list.d \( -name '*.list' -o -name '*.sources' \) -size +0 2>/dev/null)
    (
        IFS=,
        exec nice mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
            --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --include="$*" "$suite" "$cache/root.new" "${mirrors[@]}"
    ) >&2 || return 1
    rm -rf "$cache/root" && mv "$cache/root.new" "$cache/root"
}

container_init()
{
    local unit
    container_cache=$1
    container_work=$(mktemp -d "$container_cache/trial-XXXXXX") || return 1
    # shellcheck disable=SC2034 # who sources this uses $work
    files=$container_work/upper work=$container_work
    mkdir -p "$files"/{etc/systemd/system,root,var/log/journal} "$container_work"/{overlay,root}
    # one container has one identity over its boots; without it systemd would set itself up as if new
    tr -d - </proc/sys/kernel/random/uuid >"$files/etc/machine-id"
    echo trial >"$files/etc/hostname"
    printf '127.0.0.1 localhost trial\n::1 localhost\n' >"$files/etc/hosts"
    ln -s /lib/systemd/system/multi-user.target "$files/etc/systemd/system/default.target"
    for unit in getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service \
        systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer; do
        ln -s /dev/null "$files/etc/systemd/system/$unit"
    done
    container_sweep
}

# What an earlier one left that was killed by SIGKILL: its processes died with it.
container_sweep()
{
    local mount group
    mount=$(findmnt -nr -t cgroup2 -o TARGET | head -1)
    for group in "$mount"/vmmd-trial-*; do
        [ -d "$group" ] && ! [ -d "/proc/${group##*-}" ] && container_remove_group "$group"
    done
    return 0
}

container_remove_group()
{
    [ -d "$1" ] || return 0
    echo 1 >"$1/cgroup.kill"
    for _ in $(seq 100); do
        grep -q 'populated 0' "$1/cgroup.events" && break
        sleep 0.05
    done
    find "$1" -depth -type d -exec rmdir {} +
}

# In the new namespaces, as what will be their first process. $1: the cache, $2: this container's own.
# shellcheck disable=SC2317 # called by its name in container_boot
container_become()
{
    set -e
    local root=$2/root node
    mount -t overlay -o "lowerdir=$1/root,upperdir=$2/upper,workdir=$2/overlay" trial "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    [ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
    cat /proc/sys/kernel/random/uuid >"$2/boot_id"
    mount --bind "$2/boot_id" "$root/proc/sys/kernel/random/boot_id"
    mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net" "$root/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for node in null zero full random urandom tty kvm net/tun userfaultfd; do
        [ -c "/dev/$node" ] && cp -a "/dev/$node" "$root/dev/$node"
    done
    cp -a /dev/null "$root/dev/console"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    ip link set lo up
    cd "$root"
    pivot_root . mnt
    exec <dev/null >dev/null 2>&1
    umount -l /mnt
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --bounding-set -sys_module,-sys_time,-syslog,-sys_rawio \
        /lib/systemd/systemd
}

container_boot()
{
    local mount state
    mount=$(findmnt -nr -t cgroup2 -o TARGET | head -1)
    [ -n "$mount" ] || { echo "no cgroup v2 is mounted" >&2; return 1; }
    container_cgroup=$mount/vmmd-trial-$$
    mkdir -p "$container_cgroup" || return 1
    export -f container_become
    (
        echo "$BASHPID" >"$container_cgroup/cgroup.procs"
        exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup \
            bash -c 'container_become "$@"' bash "$container_cache" "$container_work"
    ) 2>"$container_work/boot.log" &
    container_unshare=$!
    disown "$container_unshare" # its end is waited for, and needs no word
    for _ in $(seq 600); do
        container_pid=$(cat "/proc/$container_unshare/task/$container_unshare/children" 2>/dev/null)
        container_pid=${container_pid%% *}
        [ -d "/proc/$container_unshare" ] || { cat "$container_work/boot.log" >&2; return 1; }
        if [ -n "$container_pid" ] && [ "$(cat "/proc/$container_pid/comm" 2>/dev/null)" = systemd ]; then
            state=$(container_inside systemctl is-system-running 2>/dev/null)
            case $state in running | degraded) return 0 ;; esac
        fi
        sleep 0.1
    done
    echo "systemd does not get beyond '${state:-nothing}'" >&2
    return 1
}

# In systemd's own group: where controllers are on, the kernel wants no process in the one above.
container_inside()
{
    (
        group=$container_cgroup/init.scope
        [ -d "$group" ] || group=$container_cgroup
        echo "$BASHPID" >"$group/cgroup.procs"
        exec nsenter -t "$container_pid" -m -u -i -n -p -C -r -w \
            env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
    )
}

container_wait()
{
    local end=$((SECONDS + $1))
    while [ -d "/proc/$container_unshare" ]; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
    container_remove_group "$container_cgroup"
}

container_end()
{
    [ -z "$container_cgroup" ] || container_remove_group "$container_cgroup"
    container_left=("$container_cgroup" "$container_work")
    [ -z "$container_work" ] || rm -rf "$container_work"
    container_pid='' container_cgroup='' container_work='' container_unshare=''
}

container_leaves()
{
    local path
    for path in "${container_left[@]}"; do
        [ -z "$path" ] || ! [ -e "$path" ] || echo "$path"
        [ -z "$path" ] || ! grep -q "$path" /proc/self/mountinfo || echo "mounts below $path"
    done
}
