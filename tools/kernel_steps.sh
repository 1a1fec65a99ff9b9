# shellcheck shell=bash
# What only a distribution's own kernel shows of vmmd, as steps of tools/systemd-trial --guest, which sources
# this and has what is called here: inside, step, until_true, makes_vm and the rest. They begin with the
# guests "counter" and "other" running, and leave these two. $work is the machine's directory.
# shellcheck disable=SC2154

# The part of a VM's cgroup that is limited.
group_of()
{
    inside sh -c 'echo /sys/fs/cgroup/vmm.slice/vmmd-workers.service/vm-*-"$1"/guest' sh "$(id_of "$1")"
}

limit_of()
{
    inside cat "$(group_of "$1")/$2"
}

# Whether a file of a VM's group says that, and what it says if not.
says()
{
    local text
    text=$(limit_of "$1" "$2")
    [ "$text" = "$3" ] || { echo "$2 says '$text', not '$3'"; return 1; }
}

patch()
{
    inside vmmctl api PATCH "/vms/$1" -d "$2" >"$work/patched" || return 1
    jq -e '.pending == null' "$work/patched" >/dev/null || { echo "it is not done at once"; return 1; }
}

drop_vm()
{
    inside vmmctl vm delete "$1" --force --yes >"$work/deleted" 2>&1 || { cat "$work/deleted"; return 1; }
}

has_its_kernel()
{
    inside vmmctl doctor -o json >"$work/doctor"
    inside sysctl kernel.unprivileged_userns_clone
    jq -r '.[] | select(.id == "landlock" or .id == "security-modules" or .id == "seccomp" or .id == "user-namespaces" or .id == "kvm" or .id == "userfaultfd") | "          " + .id + " " + .severity + ": " + .evidence' "$work/doctor"
    jq -e 'all(.[] | select(.id == "landlock" or .id == "cgroup" or .id == "cgroup-controllers" or .id == "user-namespaces"); .severity == "ok")' \
        "$work/doctor" >/dev/null
}

has_all_controllers()
{
    inside vmmctl api GET /host | jq -e -c '.limits' >"$work/limits" || return 1
    cat "$work/limits"
    jq -e '[.[]] | all(. == "v2")' "$work/limits" >/dev/null || { inside sh -c 'cd /sys/fs/cgroup; grep . cgroup.controllers vmm.slice/cgroup.subtree_control vmm.slice/*/cgroup.subtree_control'; return 1; }
}

# A change of a running VM is in its group at once.
follows_its_limits()
{
    says counter cpu.max 'max 100000' && says counter cpu.weight 100 || return 1
    patch counter '{"limits":{"cpu_percent":150,"cpu_weight":50,"io_weight":300,"pids":640}}' || return 1
    says counter cpu.max '150000 100000' && says counter cpu.weight 50 && says counter io.weight 'default 300' && says counter pids.max 640 || return 1
    patch counter '{"limits":null}' || return 1
    says counter cpu.max 'max 100000' && says counter cpu.weight 100 && says counter io.weight 'default 100' || return 1
    echo "memory.high $(limit_of counter memory.high), memory.max $(limit_of counter memory.max), $(limit_of counter memory.current) in use, $(limit_of counter pids.current) of $(limit_of counter pids.max) threads"
}

cpu_us()
{
    limit_of "$1" cpu.stat | sed -n 's/^usage_usec //p'
}

# A guest that does nothing but turn round, held to a fifth of a processor.
is_held_to_its_processor()
{
    local before after from to share
    printf '\xeb\xfe%508s\x55\xaa' '' | inside sh -c 'cat >/root/spinner'
    makes_vm spinner spinner '"accel":"tcg","memory_bytes":16777216' && until_true 20 is_in_state spinner running || return 1
    patch spinner '{"limits":{"cpu_percent":20}}' || return 1
    says spinner cpu.max '20000 100000' || return 1
    from=$(now_ms) before=$(cpu_us spinner)
    sleep 20
    after=$(cpu_us spinner) to=$(now_ms)
    share=$(((after - before) / (to - from) / 10)) # of a processor, in hundredths
    echo "it had $share % of a processor, and was throttled $(limit_of spinner cpu.stat | sed -n 's/^nr_throttled //p') times"
    [ "$share" -ge 5 ] && [ "$share" -le 24 ] || return 1
    drop_vm spinner
}

others_go_on()
{
    until_true 20 is_in_state counter running && until_true 20 counts_on_from counter "$1" || { echo "the counting guest does not go on after $1"; return 1; }
    [ "$(property vmmd ActiveState),$(property vmmd-workers ActiveState)" = active,active ] || { echo "a unit has failed"; return 1; }
    [ "$(property vmmd NRestarts)" = "$2" ] || { echo "vmmd was started anew"; return 1; }
    [ "$(inside pgrep -x vmmd-main)" = "$3" ] || { echo "vmmd-main was started anew"; return 1; }
}

has_crashed()
{
    [ "$(inside vmmctl api GET "/vms/$1" | jq -r '.run | .state + " " + .reason')" = "crashed oom" ]
}

# dies_of_memory NAME WORD COMMAND...: the guest takes all it can, after COMMAND; the detail must say WORD.
dies_of_memory()
{
    local name=$1 word=$2 before restarts main from
    shift 2
    before=$(counted counter) restarts=$(property vmmd NRestarts) main=$(inside pgrep -x vmmd-main)
    "$@" || return 1
    from=$(now_ms)
    until_true 90 has_crashed "$name" || {
        inside vmmctl api GET "/vms/$name" | jq -c .run
        limit_of "$name" memory.events
        inside free -m
        return 1
    }
    echo "after $((($(now_ms) - from) / 1000)) s: $(inside vmmctl api GET "/vms/$name" | jq -r .run.detail)"
    inside vmmctl api GET "/vms/$name" | jq -r .run.detail | grep -q "$word" || return 1
    inside sh -c 'timeout 20 vmmctl event watch --after 0 --types vm -o jsonl' >"$work/events" 2>/dev/null
    jq -c 'select(.. | strings | test("^oom$"))' "$work/events" | tail -1 | grep . | cut -c1-200 || { echo "no event says it"; return 1; }
    others_go_on "$before" "$restarts" "$main" && drop_vm "$name"
}

# So much less than vmmd gives it, by the same proportion: what a QEMU that leaks would come to.
start_with_little()
{
    local group
    makes_vm greedy hog '"accel":"tcg","memory_bytes":805306368,"memory_overcommit":true' || return 1
    group=$(group_of greedy)
    inside sh -c 'echo $((400 * 31 / 32 * 1048576)) >"$1/memory.high"; echo $((400 * 1048576)) >"$1/memory.max"; cat "$1/memory.current"' sh "$group"
}

ends_who_takes_too_much() { dies_of_memory greedy 'limit of memory' start_with_little; }

# All guests together have a limit, as docs/packages.md advises, and one of them takes what is there.
start_with_much()
{
    inside systemctl set-property --runtime vmm.slice MemoryMax=600M || return 1
    makes_vm glutton hog '"accel":"tcg","memory_bytes":1073741824,"memory_overcommit":true'
}

ends_who_takes_all()
{
    dies_of_memory glutton 'all VMs together' start_with_much && inside systemctl set-property --runtime vmm.slice MemoryMax=infinity
}

# The guest's memory is written down while it runs: userfaultfd of the kernel, through /dev/userfaultfd.
snapshots_with_memory()
{
    local at
    inside vmmctl snapshot create counter warm --memory >"$work/snapshot" 2>&1 || { cat "$work/snapshot"; return 1; }
    at=$(counted counter)
    until_true 20 counts_on_from counter $((at + 10)) || { echo "it counts no more after $at"; return 1; }
    inside vmmctl snapshot revert counter warm --yes >"$work/snapshot" 2>&1 || { cat "$work/snapshot"; return 1; }
    until_true 20 is_in_state counter running || return 1
    at=$(counted counter)
    until_true 20 counts_on_from counter $((at + 5)) || { echo "it counts no more after $at"; return 1; }
    inside vmmctl snapshot show counter warm | tr -s ' \n' ' ' | cut -c1-300
    inside vmmctl snapshot delete counter warm --yes >"$work/snapshot" 2>&1 || { cat "$work/snapshot"; return 1; }
}

# Debian has a profile of AppArmor for passt, which its kernel enforces.
reaches_the_network()
{
    local pid
    inside apparmor_parser -r /etc/apparmor.d/usr.bin.passt || return 1
    makes_vm wired counter '"accel":"tcg","memory_bytes":16777216,"nics":[{"network":"user"}]' || { inside vmmctl api GET /vms/wired | jq -c .run; return 1; }
    until_true 30 counts_on_from wired 20 || { inside vmmctl api GET /vms/wired | jq -c .run; return 1; }
    pid=$(inside pgrep -f '/passt|passt.avx2' | head -1)
    [ -n "$pid" ] || { echo "passt does not run"; inside vmmctl vm log wired; return 1; }
    inside sh -c 'cat "/proc/$1/attr/current"; tr "\0" " " <"/proc/$1/cmdline"' sh "$pid"
    drop_vm wired
}

# AMD's virtualization is emulated, too: a real KVM, and slow.
runs_by_kvm()
{
    inside test -c /dev/kvm || inside modprobe kvm_amd || return 1
    inside systemctl restart vmmd && until_true 10 serves || return 1 # it looks for KVM when it starts
    makes_vm hard counter '"accel":"kvm","memory_bytes":16777216' || return 1
    until_true 60 counts_on_from hard 20 || { inside vmmctl api GET /vms/hard | jq -c .run; return 1; }
    inside sh -c 'tr "\0" " " <"/proc/$1/cmdline"' sh "$(qemu_of hard)" | grep -o 'accel[=a-z ]*kvm\|-accel kvm' || { echo "it runs without KVM"; return 1; }
    echo "counted to $(counted hard)"
    drop_vm hard
}

# A host that keeps user namespaces from its users keeps none from vmmd, but from passt; the doctor says so.
does_without_users_namespaces()
{
    inside sysctl -q kernel.unprivileged_userns_clone=0 && inside systemctl restart vmmd && until_true 10 serves || return 1
    makes_vm alone counter '"accel":"tcg","memory_bytes":16777216' && until_true 20 counts_on_from alone 5 || return 1
    inside vmmctl doctor -o json | jq -r '.[] | select(.id == "user-namespaces") | .severity + ": " + .evidence' | grep '^warning.*passt' ||
        { echo "the doctor has nothing to say"; return 1; }
    drop_vm alone && inside sysctl -q kernel.unprivileged_userns_clone=1
}

# Each line by its weight: journalctl -p shows what matters.
logs_by_priority()
{
    inside journalctl -u vmmd -o json --no-pager | jq -r .PRIORITY | sort | uniq -c | tr -s ' \n' ' '
    inside journalctl -u vmmd -p warning -o cat --no-pager >"$work/warnings"
    grep -q 'crashed oom' "$work/warnings" || { echo "no warning says that a guest crashed"; return 1; }
    ! grep '"level":"\(info\|debug\)"' "$work/warnings" || return 1
    ! inside journalctl -k -p warning -o cat --no-pager | grep -i -E 'apparmor.*denied|segfault|landlock'
}

kernel_steps()
{
    step "the kernel is the distribution's" has_its_kernel
    step "every controller is there and reaches the guests" has_all_controllers
    step "a guest's group follows its limits" follows_its_limits
    step "a guest is held to its share of a processor" is_held_to_its_processor
    step "a guest's memory is kept in a snapshot while it runs" snapshots_with_memory
    step "one that takes more memory than its limit is ended alone" ends_who_takes_too_much
    step "one that takes what all guests together may have, too" ends_who_takes_all
    step "a guest has its network, with AppArmor" reaches_the_network
    step "KVM runs a guest" runs_by_kvm
    step "without user namespaces for users guests start as before" does_without_users_namespaces
    step "the journal knows what is a warning" logs_by_priority
}
