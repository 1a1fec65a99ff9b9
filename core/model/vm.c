/* The field tables of a VM's configuration: see vm.h. */
#include "core/model/vm.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)

const char *const vm_backend_names[] = {"qemu", "fake", NULL};
const char *const vm_machine_names[] = {"q35", "pc", NULL};
const char *const vm_accel_names[] = {"auto", "kvm", "tcg", NULL};
const char *const disk_format_names[] = {"qcow2", "raw", NULL};
const char *const disk_bus_names[] = {"virtio", "scsi", "ide", NULL};
const char *const nic_network_names[] = {"user", NULL};
const char *const nic_model_names[] = {"virtio", "e1000e", NULL};

#define OF(type, member) .offset = offsetof(struct type, member)

/* A field is a paragraph. */
/* clang-format off */
static const struct field boot_fields[] = {
    {.name = "kernel", .type = FIELD_TEXT, OF(vm_boot, kernel), .min = 1, .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "boot entry of the host (GET /host lists them); absent: boot from the disks"},
    {.name = "cmdline", .type = FIELD_TEXT, OF(vm_boot, cmdline), .max = 1024, .check = check_line,
     .help = "command line for that kernel"},
};
static const struct model boot_model = {"VmBoot", sizeof(struct vm_boot), boot_fields,
                                        ARRAY_LEN(boot_fields)};

static const struct field disk_fields[] = {
    {.name = "id", .type = FIELD_UUID, .flags = FIELD_READ_ONLY, OF(vm_disk, id),
     .help = "given by vmmd"},
    {.name = "pool", .type = FIELD_TEXT, OF(vm_disk, pool), .min = 1, .max = NAME_MAX_BYTES,
     .help = "name or id of the storage pool; absent: the oldest pool"},
    {.name = "size_bytes", .type = FIELD_U64, .flags = FIELD_REQUIRED, OF(vm_disk, size_bytes),
     .min = MIB, .max = 64ull << 40, .help = "size the guest sees, a multiple of 512"},
    {.name = "format", .type = FIELD_ENUM, OF(vm_disk, format), .names = disk_format_names,
     .fallback = "\"qcow2\"", .help = "format of the image file"},
    {.name = "bus", .type = FIELD_ENUM, OF(vm_disk, bus), .names = disk_bus_names,
     .fallback = "\"virtio\"", .help = "controller the guest sees"},
};
const struct model vm_disk_model = {"VmDisk", sizeof(struct vm_disk), disk_fields,
                                    ARRAY_LEN(disk_fields)};

static const struct field nic_fields[] = {
    {.name = "network", .type = FIELD_ENUM, OF(vm_nic, network), .names = nic_network_names,
     .fallback = "\"user\"", .help = "user: outgoing connections through the host, by passt"},
    {.name = "model", .type = FIELD_ENUM, OF(vm_nic, model), .names = nic_model_names,
     .fallback = "\"virtio\"", .help = "device the guest sees"},
    {.name = "mac", .type = FIELD_TEXT, OF(vm_nic, mac), .min = 17, .max = 17, .check = check_mac,
     .help = "absent: vmmd chooses one"},
};
const struct model vm_nic_model = {"VmNic", sizeof(struct vm_nic), nic_fields,
                                   ARRAY_LEN(nic_fields)};

static const struct field vm_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED | FIELD_CREATE_ONLY, OF(vm_spec, name), .min = 1,
     .max = NAME_MAX_BYTES, .check = check_name, .help = "unique; usable instead of the id"},
    {.name = "notes", .type = FIELD_TEXT, OF(vm_spec, notes), .max = 4096,
     .help = "free text"},
    {.name = "labels", .type = FIELD_LABELS, OF(vm_spec, labels), .max = 64,
     .help = "your own key-value pairs"},
    {.name = "backend", .type = FIELD_ENUM, .flags = FIELD_CREATE_ONLY, OF(vm_spec, backend),
     .names = vm_backend_names, .fallback = "\"qemu\"",
     .help = "fake (only when the daemon allows it) has no guest: for UI work"},
    {.name = "machine", .type = FIELD_ENUM, .flags = FIELD_NEXT_START, OF(vm_spec, machine),
     .names = vm_machine_names, .fallback = "\"q35\"", .help = "board the guest sees"},
    {.name = "accel", .type = FIELD_ENUM, .flags = FIELD_NEXT_START, OF(vm_spec, accel),
     .names = vm_accel_names, .fallback = "\"auto\"",
     .help = "auto: KVM when the host's self-test passed, else TCG"},
    {.name = "vcpus", .type = FIELD_U32, .flags = FIELD_NEXT_START, OF(vm_spec, vcpus), .min = 1,
     .max = 255, .fallback = "1", .help = "virtual processors"},
    {.name = "memory_bytes", .type = FIELD_U64, .flags = FIELD_NEXT_START,
     OF(vm_spec, memory_bytes), .min = 16 * MIB, .max = 4096 * GIB, .fallback = "536870912",
     .help = "memory, a multiple of 1 MiB"},
    {.name = "boot", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START, OF(vm_spec, boot),
     .of = &boot_model, .help = "direct kernel boot"},
    {.name = "disks", .type = FIELD_LIST, .flags = FIELD_CREATE_ONLY, OF(vm_spec, disks),
     .count_offset = offsetof(struct vm_spec, n_disks), .max = 16, .of = &vm_disk_model,
     .help = "created with the VM, deleted with it"},
    {.name = "nics", .type = FIELD_LIST, .flags = FIELD_NEXT_START, OF(vm_spec, nics),
     .count_offset = offsetof(struct vm_spec, n_nics), .max = 8, .of = &vm_nic_model,
     .fallback = "[{\"network\":\"user\"}]", .help = "network cards; [] for none"},
    {.name = "shutdown_timeout_s", .type = FIELD_U32, OF(vm_spec, shutdown_timeout_s), .min = 1,
     .max = 3600, .fallback = "60", .help = "grace for 'shutdown' before it gives up"},
};
/* clang-format on */
const struct model vm_model = {"VmSpec", sizeof(struct vm_spec), vm_fields, ARRAY_LEN(vm_fields)};

void vm_spec_clear(struct vm_spec *spec)
{
    model_clear(&vm_model, spec);
}
