/* QEMU's arguments for a plan: the frame, and the order of the parts, which the argv_*.c files add.
 * Called by launch.c, once a start.
 *
 * No text of a user comes near QEMU's option parser (threat T16): -blockdev, -device, -object and
 * -netdev take JSON; the options without a JSON form are given numbers and names made here. The
 * exceptions are the kernel's command line, which is an argument of its own that QEMU does not
 * parse, and the processor's model, a word without separators (check_cpu_model()). The VM's name is
 * not on the command line at all.
 *
 * On a pc, devices get their PCI slots in the order of the arguments, and a guest that has named
 * its cards after those finds them there: new parts are added at the end.
 *
 * Descriptors are numbered from 3 on, in the order in which they are announced here; the worker
 * makes the sockets, the plan brings the files. */
#include "backends/qemu/argv.h"

#include "backends/qemu/builder.h"
#include "backends/qemu/places.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_FD     3
#define SPARE_PORTS  4 /* root ports for devices that are plugged in later */
#define PORTS_A_SLOT 8 /* a PCI slot has eight functions, each can be a root port */

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

unsigned launch_set(struct builder *b, int fd)
{
    return launch_set_named(b, fd, NULL);
}

unsigned launch_set_named(struct builder *b, int fd, const char *name)
{
    int number = b->next_fd++;

    json_array_append_new(b->fds, json_pack("{s:i,s:s,s:i}", "fd", number, "role", "file", "index",
                                            (int)launch_attach(b, fd)));
    arg(b, "-add-fd", "fd=%d,set=%u%s%s", number, b->next_set, name ? ",opaque=" : "",
        name ? name : "");
    return b->next_set++;
}

bool is_q35(const struct builder *b)
{
    return b->plan->spec->machine == VM_MACHINE_Q35;
}

/* Where it was when the memory was written; false on a cold start. */
static bool place_where_it_was(struct builder *b, json_t *device)
{
    const char *id = json_get_text(device, "id");

    if (!b->made)
        return false;
    if (places_put(b->made, device))
        b->n_known++;
    else
        str_copy(b->astray, sizeof b->astray, id);
    return true;
}

void place_on_usb(struct builder *b, json_t *device)
{
    place_where_it_was(b, device);
}

void place_on_pci(struct builder *b, json_t *device)
{
    char bus[16] = "pci.0";

    if (place_where_it_was(b, device))
        return;
    if (is_q35(b))
        snprintf(bus, sizeof bus, "rp%u", b->next_port++);
    json_put_text(device, "bus", bus);
}

void place_on_root(struct builder *b, json_t *device, unsigned place)
{
    char addr[16];

    if (place_where_it_was(b, device))
        return;
    json_put_text(device, "bus", is_q35(b) ? "pcie.0" : "pci.0");
    if (!is_q35(b))
        return;
    snprintf(addr, sizeof addr, "0x%x", place);
    json_put_text(device, "addr", addr);
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

static unsigned ports_needed(const struct machine_plan *plan)
{
    return disks_pci_slots(plan) + nics_pci_slots(plan) + plan->spec->rng + SPARE_PORTS;
}

static void add_root_ports(struct builder *b)
{
    unsigned n = b->made ? places_ports(b->made) : is_q35(b) ? ports_needed(b->plan) : 0;

    for (unsigned i = 0; i < n; i++) {
        char id[16], addr[16];
        snprintf(id, sizeof id, "rp%u", i);
        snprintf(addr, sizeof addr, "0x%x.0x%x", ROOT_PORT_FIRST + i / PORTS_A_SLOT,
                 i % PORTS_A_SLOT);
        arg_json(b, "-device",
                 json_pack("{s:s,s:s,s:s,s:i,s:s,s:b}", "driver", "pcie-root-port", "id", id, "bus",
                           "pcie.0", "chassis", (int)i + 1, "addr", addr, "multifunction",
                           i % PORTS_A_SLOT == 0));
    }
}

static bool fits_one_frame(const struct machine_plan *plan, struct err *err)
{
    /* kernel, initrd, two logs, nvram, memory image, userfaultfd */
    const size_t others = 7 + VM_SERIAL_PORTS_MAX + VM_CDROMS_MAX;
    size_t n = others;

    for (size_t i = 0; i < plan->n_disks; i++)
        n += plan->disks[i].n_fds;
    return n <= FRAME_MAX_FDS ||
           err_field(err, ERR_INVALID, "/disks", "the disks' chains have %zu files, more than %d",
                     n - others, (int)(FRAME_MAX_FDS - others));
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

static bool add_all(struct builder *b, struct err *err)
{
    add_base(b);
    board_add(b);
    processor_add(b);
    consoles_add(b);
    display_add(b);
    add_root_ports(b);
    entropy_add(b);
    nics_add(b);
    firmware_add(b);
    boot_add(b);
    if (!disks_add(b, err) || !cdroms_add(b, err))
        return false;
    helpers_add(b);
    json_put_u64(b->logs, "qemu", launch_attach(b, b->plan->qemu_log_fd));
    if (b->plan->commit_fd >= 0)
        json_put_u64(b->logs, "commit", launch_attach(b, b->plan->commit_fd));
    if (b->plan->memory_fd >= 0)
        arg(b, "-incoming", "defer");
    return true;
}

/* The state in an image belongs to devices in places: one more, or one less, and QEMU refuses it in
 * words of its own. */
static bool all_are_where_they_were(const struct builder *b, struct err *err)
{
    if (!b->made || (!b->astray[0] && b->n_known == places_count(b->made)))
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "the VM's devices are not those that its memory belongs to (%s)",
                   b->astray[0] ? b->astray : "one is missing");
}

static bool launch_fail(struct launch *out)
{
    launch_clear(out);
    return false;
}

bool launch_build(const struct machine_plan *plan, const struct argv_facts *facts,
                  struct launch *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *made = NULL;
    struct builder b = {
        .plan = plan, .facts = facts, .launch = out, .next_fd = FIRST_FD, .next_set = 1};

    *out = (struct launch){.json = json_object()};
    json_put(out->json, "argv", b.argv = json_array());
    json_put(out->json, "fds", b.fds = json_array());
    json_put(out->json, "passt", json_array());
    json_put(out->json, "logs", b.logs = json_object());
    if (plan->memory_fd >= 0 && plan->memory_made &&
        !(b.made = made = places_read(plan->memory_made, err)))
        return launch_fail(out);
    if (fits_one_frame(plan, err) && passt_suffices(plan, facts, err) && add_all(&b, err) &&
        all_are_where_they_were(&b, err))
        return true;
    return launch_fail(out);
}

void launch_lend(struct launch *launch, int number, int fd)
{
    assert(launch->n_fds < ARRAY_LEN(launch->fds));
    json_array_append_new(
        json_object_get(launch->json, "fds"),
        json_pack("{s:i,s:s,s:i}", "fd", number, "role", "file", "index", (int)launch->n_fds));
    launch->fds[launch->n_fds++] = fd;
}

void launch_clear(struct launch *launch)
{
    json_decref(launch->json);
    *launch = (struct launch){0};
}
