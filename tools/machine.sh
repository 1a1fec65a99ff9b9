# shellcheck shell=bash
# A whole machine with the distribution's own kernel and systemd, emulated: for what a container on this
# machine's kernel cannot show, controllers of cgroup v2 above all. Sourced by tools/systemd-trial --guest.
# Needs tools/container.sh beside it, qemu-system-x86_64, qemu-img, mke2fs and ssh; not KVM.
#
#   machine_make CACHE PACKAGE...   a disk with Debian, its kernel and these packages in CACHE, once
#   machine_init CACHE              a place for this machine's own changes; sets $files, which are copied into
#                                   its / at the first boot
#   machine_boot                    boots it, and waits until systemd has done its part
#   inside COMMAND...               runs a command in it
#   machine_wait SECONDS            until it has switched itself off
#   machine_end                     ends it however it is, and leaves nothing; for a trap on EXIT
#   machine_leaves                  says what is left of it
#
# All that is not emulated stays as it was: the disk is written beside (an overlay that goes with the machine),
# and its network ends in QEMU but for a port of ssh on 127.0.0.1, whose key lies in CACHE.

machine_pid='' machine_work='' machine_cache='' machine_port='' machine_is_fresh=''

machine_make()
{
    local cache=$1 made
    shift
    container_make "$cache" linux-image-cloud-amd64 udev kmod apparmor openssh-server "$@" || return 1
    # with what was put into it by the functions below, so that a change of theirs makes it anew
    made=$(chroot "$cache/root" dpkg-query -W; declare -f machine_adorn machine_make)
    [ -s "$cache/disk.raw" ] && [ "$(cat "$cache/disk.made" 2>/dev/null)" = "$made" ] && return 0
    echo "making $cache/disk.raw" >&2
    [ -s "$cache/key" ] || ssh-keygen -q -t ed25519 -N '' -C trial -f "$cache/key" || return 1
    machine_adorn "$cache/root" "$cache/key.pub" || return 1
    rm -f "$cache/disk.made" "$cache/disk.raw" && truncate -s 8G "$cache/disk.raw" &&
        mke2fs -q -t ext4 -L trial -E lazy_itable_init=1,nodiscard -d "$cache/root" "$cache/disk.raw" || return 1
    cp "$cache"/root/boot/vmlinuz-* "$cache/vmlinuz" && cp "$cache"/root/boot/initrd.img-* "$cache/initrd.img" || return 1
    printf '%s\n' "$made" >"$cache/disk.made"
}

# What makes a machine of a file system. $1: it, $2: the public key that may come in.
machine_adorn()
{
    local root=$1 unit
    : >"$root/etc/machine-id" # the first boot makes one, and it stays
    echo trial >"$root/etc/hostname"
    printf '127.0.0.1 localhost trial\n::1 localhost\n' >"$root/etc/hosts"
    echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
    mkdir -p "$root/var/log/journal" "$root/etc/systemd/network" "$root/etc/ssh/sshd_config.d"
    install -D -m 600 "$2" "$root/root/.ssh/authorized_keys"
    # no PAM: no session and no slice of a user's for each command
    printf 'UsePAM no\nUseDNS no\nMaxSessions 100\n' >"$root/etc/ssh/sshd_config.d/trial.conf"
    printf '[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' >"$root/etc/systemd/network/trial.network"
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    ln -sf /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    for unit in getty.target serial-getty@ttyS0.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
}

machine_init()
{
    machine_cache=$1
    machine_work=$(mktemp -d "$machine_cache/trial-XXXXXX") || return 1
    # shellcheck disable=SC2034 # who sources this uses $work
    files=$machine_work/files work=$machine_work
    mkdir -p "$files/root"
    qemu-img create -q -f qcow2 -b "$machine_cache/disk.raw" -F raw "$machine_work/disk.qcow2" || return 1
    machine_is_fresh=yes
}

# It dies with this script, whatever that dies of.
machine_start()
{
    machine_port=$((20000 + RANDOM % 20000))
    setpriv --pdeathsig KILL nice qemu-system-x86_64 -name vmmd-trial -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max \
        -smp 2 -m 1536M -nodefaults -no-user-config -display none -serial "file:$machine_work/console" \
        -kernel "$machine_cache/vmlinuz" -initrd "$machine_cache/initrd.img" -append 'root=/dev/vda rw console=ttyS0 quiet no_timer_check' \
        -drive "file=$machine_work/disk.qcow2,if=virtio,cache=unsafe" -device virtio-rng-pci \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$machine_port-:22" -device virtio-net-pci,netdev=net \
        </dev/null >"$machine_work/qemu.log" 2>&1 &
    machine_pid=$!
    disown "$machine_pid"
    sleep 1
    [ -d "/proc/$machine_pid" ]
}

machine_boot()
{
    local state='' end
    machine_start || machine_start || machine_start || { cat "$machine_work/qemu.log" >&2; return 1; } # a port may be taken
    end=$((SECONDS + 600))
    while [ "$SECONDS" -lt "$end" ]; do
        [ -d "/proc/$machine_pid" ] || break
        state=$(machine_inside systemctl is-system-running 2>/dev/null)
        case $state in
        running | degraded)
            [ -z "$machine_is_fresh" ] || tar -C "$files" -c . | machine_inside tar -C / --no-same-owner --no-overwrite-dir -x || return 1
            machine_is_fresh=''
            return 0
            ;;
        esac
        sleep 1
    done
    tail -n 30 "$machine_work/console" "$machine_work/qemu.log" >&2
    echo "systemd does not get beyond '${state:-nothing}'" >&2
    return 1
}

# One connection that stays, and in it a channel for each command.
machine_inside()
{
    local command
    command=$(printf '%q ' env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@")
    ssh -q -F none -i "$machine_cache/key" -p "$machine_port" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=60 -o ServerAliveInterval=60 -o ControlMaster=auto -o ControlPath="$machine_work/ssh" -o ControlPersist=yes \
        root@127.0.0.1 "$command"
}

machine_hang_up()
{
    [ ! -S "$machine_work/ssh" ] || ssh -q -F none -o ControlPath="$machine_work/ssh" -O exit root@127.0.0.1 2>/dev/null
    rm -f "$machine_work/ssh"
}

machine_wait()
{
    local end=$((SECONDS + $1))
    while [ -d "/proc/$machine_pid" ]; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
    machine_hang_up
    machine_pid=''
}

machine_end()
{
    [ -z "$machine_work" ] || machine_hang_up
    [ -z "$machine_pid" ] || kill -KILL "$machine_pid" 2>/dev/null
    while [ -n "$machine_pid" ] && [ -d "/proc/$machine_pid" ]; do sleep 0.1; done
    machine_left=("$machine_pid" "$machine_work")
    [ -z "$machine_work" ] || rm -rf "$machine_work"
    machine_pid='' machine_work=''
}

machine_leaves()
{
    ! [ -e "${machine_left[1]}" ] || echo "${machine_left[1]}"
    ! [ -d "/proc/${machine_left[0]:-none}" ] || echo "process ${machine_left[0]}"
}
