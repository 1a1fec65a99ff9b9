/* What a VM shows and takes: the serial log, serial input, the screen. */
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/vm/registry.h"
#include "core/vm/vm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first port's keeps the name it always had. */
const char *vm_serial_log(unsigned port)
{
    static const char *const names[VM_SERIAL_PORTS_MAX] = {"serial.log", "serial1.log",
                                                           "serial2.log", "serial3.log"};

    return names[port];
}

static unsigned ports_of(struct core *core, const struct vm *vm)
{
    unsigned n;

    lock_take(&core->registry.lock);
    n = vm->active && vm->active->serial_ports > vm->spec.serial_ports ? vm->active->serial_ports
                                                                       : vm->spec.serial_ports;
    lock_drop(&core->registry.lock);
    return n;
}

/* What a port wrote before it was taken away can still be read. */
bool vm_has_port(struct core *core, const struct vm *vm, unsigned port, struct err *err)
{
    unsigned n = ports_of(core, vm);

    return port < n || port == 0 ||
           err_field(err, ERR_INVALID, "?port", "%s has %u serial ports; they count from 0",
                     VM_NAME(core, vm), n);
}

/* The log's file; -1 without an error when the VM was never started. */
static int log_open(struct core *core, const struct vm *vm, unsigned port, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, false, err);
    int fd = dir < 0 ? -1 : fs_open(dir, vm_serial_log(port), O_RDONLY, 0, err);

    if (fd < 0 && err->code == ERR_NOT_FOUND)
        *err = (struct err){0};
    return fd;
}

static uint64_t rings(struct core *core)
{
    uint64_t n;

    lock_take(&core->serial.lock);
    n = core->serial.rings;
    lock_drop(&core->serial.lock);
    return n;
}

/* Waits for a ring after the 'seen'-th; false at the deadline, when the daemon stops, and when
 * rights have changed since 'accounts': who waits may have to leave. */
static bool wait_ring(struct core *core, uint64_t seen, unsigned accounts, int64_t deadline)
{
    bool in_time = true;

    lock_take(&core->serial.lock);
    while (core->serial.rings == seen && in_time && !atomic_load(&core->closing))
        in_time = cond_wait_until(&core->serial.rung, &core->serial.lock, deadline);
    lock_drop(&core->serial.lock);
    return in_time && !atomic_load(&core->closing) && atomic_load(&core->accounts) == accounts;
}

ssize_t vm_serial_read(struct core *core, const char *ref, unsigned port, uint64_t *offset,
                       void *out, size_t cap, int64_t wait_ms, uint64_t *end, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    int64_t deadline = clock_mono_ms() + wait_ms;
    unsigned accounts = atomic_load(&core->accounts);
    CLEANUP(closep) int fd = -1;
    bool again = true;

    if (!hold.vm)
        return -1;
    for (;;) {
        uint64_t seen = rings(core);
        ssize_t n = 0;

        *end = 0;
        if (fd < 0)
            fd = log_open(core, hold.vm, port, err);
        if (fd < 0 && (err->code || !vm_has_port(core, hold.vm, port, err)))
            return -1;
        if (fd >= 0)
            n = ringlog_read(fd, offset, out, cap, end, err);
        else
            *offset = 0;
        if (n || !again)
            return n;
        again = wait_ms > 0 && wait_ring(core, seen, accounts, deadline);
        if (!again)
            return 0;
    }
}

/* ---- what a guest said last ---- */

#define TAIL_BYTES 16384

static uint64_t serial_from(struct core *core, const struct vm *vm)
{
    uint64_t from;

    lock_take(&core->registry.lock);
    from = vm->serial_from;
    lock_drop(&core->registry.lock);
    return from;
}

/* The end of the log as bytes; 0 when there is none. */
static size_t read_tail(struct core *core, const struct vm *vm, char *out, size_t cap)
{
    uint64_t offset = UINT64_MAX, end = 0, from = serial_from(core, vm);
    struct err err = {0};
    CLEANUP(closep) int fd = log_open(core, vm, 0, &err);
    ssize_t n = fd < 0 ? -1 : ringlog_read(fd, &offset, out, 0, &end, &err);

    offset = end > cap && end - cap > from ? end - cap : from;
    if (n == 0)
        n = ringlog_read(fd, &offset, out, cap, &end, &err);
    return n > 0 ? (size_t)n : 0;
}

/* Where to begin so that the reader learns most: at the kernel's own word for it, which a long
 * trace follows; else as late as fits, at the beginning of a line. */
static size_t choose_begin(const char *text, size_t len, size_t room)
{
    static const char word[] = "Kernel panic";
    size_t begin = len > room ? len - room : 0;
    const char *at = NULL, *next = text, *line;

    while ((next = memmem(next, len - (size_t)(next - text), word, sizeof word - 1)))
        at = next++;
    if (at)
        return (size_t)(at - text);
    line = begin ? memchr(text + begin, '\n', len - begin) : NULL;
    return line ? (size_t)(line - text) + 1 : begin;
}

void vm_last_words(struct core *core, const struct vm *vm, char *out, size_t size)
{
    char *tail = mem_alloc(TAIL_BYTES);
    size_t len = read_tail(core, vm, tail, TAIL_BYTES), n = 0;

    for (size_t i = choose_begin(tail, len, size - 1); i < len; i++) {
        unsigned char c = (unsigned char)tail[i];
        bool plain = c == '\n' || (c >= ' ' && c < 0x7f);
        if (n + sizeof "\\x00" > size)
            break;
        if (plain)
            out[n++] = (char)c;
        else if (c != '\r')
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
    }
    while (n && (out[n - 1] == '\n' || out[n - 1] == ' '))
        n--;
    out[n] = 0;
    free(tail);
}

bool vm_serial_write(struct core *core, const char *ref, unsigned port, const void *data,
                     size_t len, const struct origin *origin, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (hold.vm && !vm_has_port(core, hold.vm, port, err))
        return false;
    machine = hold.vm ? vm_machine_use(core, hold.vm, &backend, err) : NULL;
    if (!machine)
        return false;
    ok = origin->dry_run || backend->serial_write(machine, port, data, len, err);
    vm_machine_done(core, hold.vm);
    return ok;
}

bool vm_screenshot(struct core *core, const char *ref, unsigned head, char **png, size_t *len,
                   struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    machine = hold.vm ? vm_machine_use(core, hold.vm, &backend, err) : NULL;
    if (!machine)
        return false;
    ok = backend->screenshot(machine, head, png, len, err);
    vm_machine_done(core, hold.vm);
    return ok;
}
