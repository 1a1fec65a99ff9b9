#!/bin/bash
# What the Debian package's scripts do to a host: here a directory, with stand-ins for what would change ours.
# (tools/systemd-trial has them run by dpkg and systemd.)
set -u
src=${VMMD_SRC:-.}
work=$(mktemp -d "${TMPDIR:-/tmp}/vmmd-scripts-XXXXXX")
host=$work/host calls=$work/calls
trap 'rm -rf "$work"' EXIT

fail()
{
    echo "FAILED: $1"
    exit 1
}

# The host is new again; what systemctl is asked goes to $calls.
new_host()
{
    rm -rf "$host" "${work:?}/bin" && mkdir -p "$host"/{etc/vmmd,etc/systemd/system,run/systemd/system,var/lib,var/cache} "$work/bin"
    : >"$calls"
    rm -f "$work"/{disabled,masked}*
    cat >"$work/bin/systemctl" <<EOF
#!/bin/sh
echo "\$*" >>$calls
case "\$*" in
*is-enabled*)
    for unit; do :; done
    [ ! -e $work/disabled ] && [ ! -e $work/disabled.\$unit ]
    ;;
*enable*) [ ! -e $work/masked ] ;;
start*) sed -nE 's/^(Wants|Requires|BindsTo)=/pulled in: /p' "$src/packaging/systemd/\$2" >>$calls ;;
esac
EOF
    printf '#!/bin/sh\nfor word; do case $word in /*) echo "made $word" >>%s; mkdir -p "$word" ;; esac; done\n' "$calls" >"$work/bin/install"
    printf '#!/bin/sh\necho "%s"\n' "${1:-host.example.org}" >"$work/bin/hostname"
    for tool in systemd-sysusers systemd-tmpfiles; do
        printf '#!/bin/sh\n' >"$work/bin/$tool"
    done
    chmod +x "$work"/bin/*
}

# run SCRIPT ARGUMENT...: on that host.
run()
{
    sed -E "s#/(etc|run|var)/#$host/\1/#g" "$src/packaging/debian/$1" >"$work/script"
    PATH=$work/bin:$PATH sh "$work/script" "${@:2}" >"$work/said" 2>&1
}

asked()
{
    grep -qE -- "$1" "$calls"
}

names_of_certificate()
{
    openssl x509 -in "$host/etc/vmmd/cert.pem" -noout -subject -ext subjectAltName
}

a_first_configuration_makes_and_starts_everything()
{
    new_host
    run postinst configure || return 1
    [ -d "$host/var/lib/vmmd" ] && [ -d "$host/var/lib/vmmd-pools" ] || return 1
    [ "$(stat -c %a "$host/etc/vmmd/key.pem") $(stat -c %a "$host/etc/vmmd/cert.pem")" = "600 644" ] || return 1
    names_of_certificate | grep -q 'DNS:host.example.org' || return 1
    asked 'enable vmmd.service' && asked '^restart vmmd.service' && asked '^start vmmd-guests.service'
}

a_host_with_a_long_name_gets_its_certificate()
{
    local name
    name=$(printf 'a%.0s' {1..60}).example.org
    new_host "$name"
    run postinst configure && names_of_certificate | grep -q "DNS:$name"
}

a_key_without_its_certificate_is_kept()
{
    local before
    new_host
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$host/etc/vmmd/key.pem" 2>/dev/null
    before=$(cat "$host/etc/vmmd/key.pem")
    run postinst configure && names_of_certificate >/dev/null && [ "$(cat "$host/etc/vmmd/key.pem")" = "$before" ] || return 1
    [ "$(openssl x509 -in "$host/etc/vmmd/cert.pem" -noout -pubkey)" = "$(openssl pkey -in "$host/etc/vmmd/key.pem" -pubout)" ]
}

why_there_is_no_certificate_is_said()
{
    new_host
    echo nonsense >"$host/etc/vmmd/key.pem"
    ! run postinst configure && grep -q 'no certificate could be made' "$work/said" && [ "$(wc -l <"$work/said")" -gt 1 ] &&
        [ ! -e "$host/etc/vmmd/cert.pem" ]
}

what_was_switched_off_stays_off()
{
    new_host
    touch "$work/disabled"
    run postinst configure 0.1.0 || return 1
    ! asked ' enable ' && ! asked '^(re)?start' && asked '^try-restart vmmd.service'
}

# vmmd.service alone: what goes on with the host's other units does not start it either.
what_was_switched_off_alone_stays_off()
{
    new_host
    touch "$work/disabled.vmmd.service"
    run postinst configure 0.1.0 || return 1
    asked '^start vmmd-guests.service' && ! asked '^restart' && ! asked '^(start|pulled in:) .*vmmd.service'
}

masked_units_and_hosts_without_systemd_are_no_failure()
{
    new_host
    touch "$work/masked" "$work/disabled"
    run postinst configure || return 1
    new_host
    rmdir "$host/run/systemd/system"
    run postinst configure && asked 'enable vmmd.service' && ! asked start
}

a_removal_starts_the_daemon_only_for_guests()
{
    new_host
    run prerm remove && ! asked '^start' && asked '^stop vmmd-guests.service' || return 1
    new_host
    mkdir -p "$host/run/vmmd/vm/some"
    run prerm remove && grep -nE '^(start|stop)' "$calls" | sed -n 2p | grep -q 'start vmmd.service vmmd-guests.service'
}

a_reinstallation_finds_the_units_as_they_were()
{
    local link=$host/etc/systemd/system/multi-user.target.wants/vmmd.service
    new_host
    mkdir -p "${link%/*}" && ln -s /usr/lib/systemd/system/vmmd.service "$link"
    run postrm remove && [ -L "$link" ] && run postrm purge && [ ! -L "$link" ]
}

# What main makes where there was never a VM.
make_pools()
{
    mkdir -p "$host/var/lib/vmmd/vm" "$host/var/lib/vmmd-pools"/{main,media,imports,vmmd-bundles,vmmd-copies}
    touch "$host/var/lib/vmmd/vmmd.db" "$host/var/lib/vmmd-pools/vmmd-copies/host.json"
}

a_purge_takes_what_has_no_vm()
{
    new_host
    make_pools
    run postrm purge && [ ! -s "$work/said" ] && [ -z "$(ls "$host/var/lib")" ] && [ ! -e "$host/etc/vmmd" ]
}

# As where a file system is mounted there, or below.
what_cannot_be_removed_is_no_failure()
{
    new_host
    make_pools
    printf '#!/bin/sh\ncase "$*" in */vmmd-pools*) echo "rm: Device or resource busy" >&2; exit 1 ;; esac\nexec /bin/rm "$@"\n' >"$work/bin/rm"
    chmod +x "$work/bin/rm"
    run postrm purge && grep -q '^vmmd: .*/var/lib/vmmd-pools.* not be removed' "$work/said"
}

# purge_leaves FILE: the database and everything in pools, because of that file.
purge_leaves()
{
    new_host
    make_pools
    mkdir -p "$host/${1%/*}" && touch "$host/$1"
    run postrm purge && grep -q '^vmmd: there are VMs' "$work/said" && [ -e "$host/$1" ] && [ -e "$host/var/lib/vmmd/vmmd.db" ]
}

a_purge_leaves_vms_wherever_their_disks_lie()
{
    purge_leaves var/lib/vmmd/vm/5e9d/config.json
}

a_purge_leaves_files_in_pools()
{
    purge_leaves var/lib/vmmd-pools/main/disk.raw && purge_leaves var/lib/vmmd-pools/media/my.iso
}

nothing_gives_the_state_to_another_user()
{
    new_host
    mkdir "$host/var/lib/vmmd"
    run postinst configure && ! asked '^made .*/var/lib/vmmd$' && ! grep -q '^[a-zA-Z].*/var/lib' "$src/packaging/tmpfiles.d/vmmd.conf"
}

for story in $(declare -F | sed -n 's/^declare -f \(a_.*\|what_.*\|why_.*\|masked_.*\|nothing_.*\)/\1/p'); do
    "$story" || { cat "$work/said" "$calls"; fail "$story"; }
    echo "ok $story"
done
