/* QEMU's arguments for a plan: board, processor, memory, consoles, network cards. Disks are in
 * argv_disk.c. Called by launch.c, once a start.
 *
 * No text of a user comes near QEMU's option parser (threat T16): -blockdev, -device, -object and
 * -netdev take JSON; the options without a JSON form are given numbers and names made here. The one
 * exception is the kernel's command line, which is an argument of its own that QEMU does not parse.
 * The VM's name is not on the command line at all.
 *
 * Descriptors are numbered from 3 on, in the order in which they are announced here; the worker
 * makes the sockets, the plan brings the files. */
#include "backends/qemu/argv.h"

#include "backends/qemu/builder.h"
#include "backends/qemu/machine.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_FD     3
#define SPARE_PORTS  4 /* root ports for devices that are plugged in later */
#define PORTS_A_SLOT 8 /* a PCI slot has eight functions, each can be a root port */
#define FIRST_SLOT   2 /* 0 is the host bridge, 1 the display */
#define SMALL_GUEST  (512ull << 20)

void arg(struct builder *b, const char *option, const char *fmt, ...)
{
    va_list args;
    char text[256];
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof text);
    (void)n;
    json_array_append_new(b->argv, json_string(option));
    json_array_append_new(b->argv, json_string(text));
}

void arg_json(struct builder *b, const char *option, json_t *value)
{
    CLEANUP(mem_freep) char *text = json_write(value);

    json_array_append_new(b->argv, json_string(option));
    json_array_append_new(b->argv, json_string(text));
    json_decref(value);
}

unsigned launch_attach(struct builder *b, int fd)
{
    assert(b->launch->n_fds < ARRAY_LEN(b->launch->fds));
    b->launch->fds[b->launch->n_fds] = fd;
    return b->launch->n_fds++;
}

int launch_fd(struct builder *b, const char *role)
{
    json_array_append_new(b->fds, json_pack("{s:i,s:s}", "fd", b->next_fd, "role", role));
    return b->next_fd++;
}

static bool is_q35(const struct builder *b)
{
    return b->plan->spec->machine == VM_MACHINE_Q35;
}

void place_on_pci(struct builder *b, json_t *device)
{
    char bus[16] = "pci.0";

    if (is_q35(b))
        snprintf(bus, sizeof bus, "rp%u", b->next_port++);
    json_put_text(device, "bus", bus);
}

/* ---- the parts ---- */

static void add_base(struct builder *b)
{
    const struct machine_plan *plan = b->plan;

    json_array_append_new(b->argv, json_string(b->facts->qemu));
    arg(b, "-name", "guest=vm-%s", UUID_STR(&plan->vm));
    arg(b, "-uuid", "%s", UUID_STR(&plan->vm));
    json_array_append_new(b->argv, json_string("-nodefaults"));
    json_array_append_new(b->argv, json_string("-no-user-config"));
    json_array_append_new(b->argv, json_string("-S"));
    /* The worker decides when QEMU ends: a guest that powers off in the middle of a storage job
     * must not take the job along. */
    arg(b, "-action", "shutdown=pause,panic=pause,reboot=reset,watchdog=pause");
    arg(b, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    arg(b, "-msg", "timestamp=on");
}

static void add_processor(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;
    bool kvm = b->plan->accel == VM_ACCEL_KVM;

    if (kvm)
        arg(b, "-accel", "kvm");
    else /* the buffer of translated code counts as the guest's overhead: keep it in proportion */
        arg(b, "-accel", "tcg,tb-size=%d", spec->memory_bytes <= SMALL_GUEST ? 64 : 256);
    arg(b, "-cpu", "%s", kvm ? "host" : "max");
    arg(b, "-smp", "cpus=%u,maxcpus=%u,sockets=1,cores=%u,threads=1", spec->vcpus, spec->vcpus,
        spec->vcpus);
}

static void add_board(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;

    /* The id is part of every saved state: it stays "pc.ram". */
    arg_json(b, "-object",
             json_pack("{s:s,s:s,s:I,s:b}", "qom-type", "memory-backend-ram", "id", "pc.ram",
                       "size", (json_int_t)spec->memory_bytes, "share", 0));
    arg(b, "-machine", "%s,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram",
        is_q35(b) ? "q35" : "pc");
    arg(b, "-m", "size=%lluB", (unsigned long long)spec->memory_bytes);
    arg(b, "-rtc", "base=utc");
    arg(b, "-display", "none");
    arg(b, "-vga", "none");
}

static void add_consoles(struct builder *b)
{
    arg(b, "-chardev", "socket,id=qmp0,fd=%d", launch_fd(b, "qmp"));
    arg(b, "-mon", "chardev=qmp0,mode=control");
    arg(b, "-chardev", "socket,id=ser0,fd=%d", launch_fd(b, "serial"));
    arg_json(b, "-device",
             json_pack("{s:s,s:s,s:s,s:i}", "driver", "isa-serial", "id", "serial0", "chardev",
                       "ser0", "index", 0));
    arg_json(b, "-device", json_pack("{s:s,s:s}", "driver", "pvpanic", "id", "pvpanic0"));
}

static void add_display(struct builder *b)
{
    json_t *vga = json_pack("{s:s,s:s,s:s}", "driver", "VGA", "id", VIDEO_DEVICE, "bus",
                            is_q35(b) ? "pcie.0" : "pci.0");

    if (is_q35(b))
        json_put_text(vga, "addr", "0x1");
    arg_json(b, "-device", vga);
}

static unsigned ports_needed(const struct machine_plan *plan)
{
    return disks_pci_slots(plan) + (unsigned)plan->spec->n_nics + 1 /* rng */ + SPARE_PORTS;
}

static void add_root_ports(struct builder *b)
{
    unsigned n = is_q35(b) ? ports_needed(b->plan) : 0;

    for (unsigned i = 0; i < n; i++) {
        char id[16], addr[16];
        snprintf(id, sizeof id, "rp%u", i);
        snprintf(addr, sizeof addr, "0x%x.0x%x", FIRST_SLOT + i / PORTS_A_SLOT, i % PORTS_A_SLOT);
        arg_json(b, "-device",
                 json_pack("{s:s,s:s,s:s,s:i,s:s,s:b}", "driver", "pcie-root-port", "id", id, "bus",
                           "pcie.0", "chassis", (int)i + 1, "addr", addr, "multifunction",
                           i % PORTS_A_SLOT == 0));
    }
}

static void add_entropy(struct builder *b)
{
    json_t *rng =
        json_pack("{s:s,s:s,s:s}", "driver", "virtio-rng-pci", "id", "rngdev0", "rng", "rng0");

    arg_json(b, "-object", json_pack("{s:s,s:s}", "qom-type", "rng-builtin", "id", "rng0"));
    place_on_pci(b, rng);
    arg_json(b, "-device", rng);
}

static void add_netdev(struct builder *b, const char *id)
{
    char fd[16];

    if (!b->facts->passt) {
        /* QEMU's own network stack lives in the jail's empty network: the guest gets an address,
         * and reaches nobody. */
        arg_json(b, "-netdev", json_pack("{s:s,s:s,s:b}", "type", "user", "id", id, "restrict", 1));
        return;
    }
    snprintf(fd, sizeof fd, "%d", launch_fd(b, "passt"));
    arg_json(b, "-netdev",
             json_pack("{s:s,s:s,s:b,s:{s:s,s:s}}", "type", "stream", "id", id, "server", 0, "addr",
                       "type", "fd", "str", fd));
}

static void add_nics(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;

    for (size_t i = 0; i < spec->n_nics; i++) {
        const struct vm_nic *nic = &spec->nics[i];
        char netdev[32], id[32];
        json_t *device;
        snprintf(netdev, sizeof netdev, "net%zu", i);
        snprintf(id, sizeof id, "nic%zu", i);
        add_netdev(b, netdev);
        /* An empty romfile: the jail's /usr is gone when a card is plugged in later. */
        device = json_pack("{s:s,s:s,s:s,s:s}", "driver",
                           nic->model == NIC_E1000E ? "e1000e" : "virtio-net-pci", "id", id,
                           "netdev", netdev, "romfile", "");
        if (nic->mac)
            json_put_text(device, "mac", nic->mac);
        place_on_pci(b, device);
        arg_json(b, "-device", device);
    }
}

static void add_input(struct builder *b, const char *name, int fd)
{
    json_array_append_new(b->fds, json_pack("{s:s,s:s,s:i}", "input", name, "role", "file", "index",
                                            (int)launch_attach(b, fd)));
}

static void add_kernel(struct builder *b)
{
    const struct machine_plan *plan = b->plan;
    const char *cmdline = plan->spec->boot.cmdline;

    if (plan->kernel_fd < 0)
        return;
    add_input(b, "kernel", plan->kernel_fd);
    arg(b, "-kernel", "/in/kernel");
    if (plan->initrd_fd >= 0) {
        add_input(b, "initrd", plan->initrd_fd);
        arg(b, "-initrd", "/in/initrd");
    }
    if (cmdline && *cmdline) {
        json_array_append_new(b->argv, json_string("-append"));
        json_array_append_new(b->argv, json_string(cmdline));
    }
}

static bool fits_one_frame(const struct machine_plan *plan, struct err *err)
{
    size_t n = 4; /* kernel, initrd, two logs */

    for (size_t i = 0; i < plan->n_disks; i++)
        n += plan->disks[i].n_fds;
    return n <= FRAME_MAX_FDS ||
           err_field(err, ERR_INVALID, "/disks", "the disks' chains have %zu files, more than %d",
                     n - 4, FRAME_MAX_FDS - 4);
}

static bool passt_suffices(const struct machine_plan *plan, const struct argv_facts *facts,
                           struct err *err)
{
    char field[32];

    snprintf(field, sizeof field, "/nics/%d/network", WORKER_PASSTS);
    return !facts->passt || plan->spec->n_nics <= WORKER_PASSTS ||
           err_field(err, ERR_INVALID, field, "a VM can have %d network card of the kind 'user'",
                     WORKER_PASSTS);
}

bool launch_build(const struct machine_plan *plan, const struct argv_facts *facts,
                  struct launch *out, struct err *err)
{
    json_t *logs = json_object();
    struct builder b = {
        .plan = plan, .facts = facts, .launch = out, .next_fd = FIRST_FD, .next_set = 1};

    *out = (struct launch){.json = json_object()};
    json_put(out->json, "argv", b.argv = json_array());
    json_put(out->json, "fds", b.fds = json_array());
    json_put(out->json, "passt", json_array());
    json_put(out->json, "logs", logs);
    if (!fits_one_frame(plan, err) || !passt_suffices(plan, facts, err)) {
        launch_clear(out);
        return false;
    }
    json_put_u64(logs, "serial", launch_attach(&b, plan->serial_log_fds[0]));
    json_put_u64(logs, "qemu", launch_attach(&b, plan->qemu_log_fd));
    add_base(&b);
    add_board(&b);
    add_processor(&b);
    add_consoles(&b);
    add_display(&b);
    add_root_ports(&b);
    add_entropy(&b);
    add_nics(&b);
    add_kernel(&b);
    if (disks_add(&b, err))
        return true;
    launch_clear(out);
    return false;
}

void launch_clear(struct launch *launch)
{
    json_decref(launch->json);
    *launch = (struct launch){0};
}
