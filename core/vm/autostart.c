/* Starting VMs with the host (docs/autostart.md). The file "boot_id" in the state directory names
 * the boot that the last daemon saw, "autostart" the one for which all has been started: as long as
 * they differ it is not done, and the next daemon goes on. Each start carries an idempotency key of
 * boot and VM, written with the job: no daemon begins it a second time, not even after somebody
 * stopped the VM again. */
#include "core/vm/autostart.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define WAIT_MS 1000

struct autostart {
    struct core *core;
    pthread_t thread;
};

/* ---- which boot this is ---- */

static char *read_line(int fd)
{
    struct err ignored = {0};
    char *text = NULL;

    if (fd >= 0 && fs_read_all(fd, 128, &text, NULL, &ignored))
        text[strcspn(text, "\n")] = 0;
    return text;
}

static char *read_state(struct core *core, const char *name)
{
    struct err ignored = {0};
    CLEANUP(closep) int fd = fs_open(core->state_fd, name, O_RDONLY, 0, &ignored);

    return read_line(fd);
}

static void write_state(struct core *core, const char *name, const char *text)
{
    struct err err = {0};

    if (!fs_publish(core->state_fd, name, text, strlen(text), 0600, &err))
        log_warn("%s was not written: %s", name, err.detail);
}

void autostart_look(struct core *core, bool *host_reset, bool *due)
{
    CLEANUP(closep) int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *now = read_line(fd);
    CLEANUP(mem_freep) char *seen = read_state(core, "boot_id");
    CLEANUP(mem_freep) char *done = read_state(core, "autostart");

    *host_reset = *due = false;
    if (!now)
        return;
    str_copy(core->boot_id, sizeof core->boot_id, now);
    *host_reset = seen && !str_eq(seen, now);
    if (!done) { /* a new state directory, or one of an older vmmd */
        write_state(core, "autostart", seen ? seen : now);
        *due = *host_reset;
    } else {
        *due = !str_eq(done, now);
    }
}

void autostart_seen(struct core *core)
{
    CLEANUP(mem_freep) char *seen = read_state(core, "boot_id");

    if (core->boot_id[0] && !str_eq(seen, core->boot_id))
        write_state(core, "boot_id", core->boot_id);
}

/* ---- starting ---- */

struct candidate {
    struct vm *vm;
    uint32_t order, delay_s;
    struct uuid op; /* zero: nothing was begun */
};

static int by_order(const void *a, const void *b)
{
    const struct candidate *one = a, *two = b;

    return one->order < two->order ? -1 : one->order > two->order;
}

static struct candidate *candidates(struct core *core, struct vm **vms, size_t n, size_t *found)
{
    struct candidate *list = mem_array(n + 1, sizeof *list);

    *found = 0;
    lock_take(&core->registry.lock);
    for (size_t i = 0; i < n; i++) {
        const struct vm_autostart *a = &vms[i]->spec.autostart;
        bool went_on = vms[i]->run == VM_SAVED && vms[i]->reason == VM_REASON_HOST_SHUTDOWN;

        if ((a->enabled || went_on) && vms[i]->phase == VM_DEFINED)
            list[(*found)++] =
                (struct candidate){.vm = vms[i], .order = a->order, .delay_s = a->delay_s};
    }
    lock_drop(&core->registry.lock);
    qsort(list, *found, sizeof *list, by_order);
    return list;
}

static bool never(const struct vm *vm, void *ctx)
{
    return false;
}

static bool is_free(const struct vm *vm, void *ctx)
{
    return uuid_is_zero(&vm->job);
}

/* Rule R7: what an earlier daemon left open for this VM comes first. */
static void await_free(struct core *core, struct vm *vm)
{
    while (!vm_wait(core, vm, is_free, NULL, clock_mono_ms() + WAIT_MS))
        if (atomic_load(&core->closing))
            return;
}

static void begin(struct core *core, struct candidate *c)
{
    char key[128];
    const struct origin origin = {
        .principal = "vmmd", .role = ROLE_ADMIN, .route = "autostart", .idempotency_key = key};
    struct err err = {0};
    struct uuid before;
    bool found = false;
    char type[16];

    snprintf(key, sizeof key, "autostart-%.40s-%s", core->boot_id, UUID_STR(&c->vm->id));
    await_free(core, c->vm);
    if (atomic_load(&core->closing) ||
        (core_idem_find(core, &origin, &found, type, &before, &err) && found))
        return;
    if (vm_submit(core, c->vm, VM_VERB_START, NULL, &origin, &c->op, NULL, NULL, &err))
        return;
    c->op = (struct uuid){0};
    if (err.code != ERR_WRONG_STATE) /* it runs already */
        log_error("%s was not started with the host: %s", VM_NAME(core, c->vm), err.detail);
}

static bool has_ended(struct core *core, const struct uuid *op)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *job = job_wait(core, op, WAIT_MS, &err);

    return !job || !json_is_null(json_object_get(job, "ended_at"));
}

/* All of one order, together; their longest delay afterwards. */
static void start_group(struct core *core, struct candidate *group, size_t n, bool last)
{
    uint32_t delay_s = 0;
    int64_t until_ms;

    for (size_t i = 0; i < n; i++)
        begin(core, &group[i]);
    for (size_t i = 0; i < n; i++) {
        if (uuid_is_zero(&group[i].op))
            continue;
        delay_s = group[i].delay_s > delay_s ? group[i].delay_s : delay_s;
        while (!atomic_load(&core->closing) && !has_ended(core, &group[i].op))
            ;
    }
    until_ms = clock_mono_ms() + delay_s * INT64_C(1000);
    while (!last && delay_s && !atomic_load(&core->closing) && clock_left_ms(until_ms) > 0)
        (void)vm_wait(core, group[0].vm, never, NULL, until_ms);
}

static void *autostart_main(void *arg)
{
    struct core *core = ((struct autostart *)arg)->core;
    CLEANUP(mem_freep) struct candidate *list = NULL;
    struct vm **vms;
    size_t n_vms, n, end;

    vms = vm_get_all(core, &n_vms);
    list = candidates(core, vms, n_vms, &n);
    log_info("the host was booted: %zu VMs start with it", n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i = end) {
        for (end = i; end < n && list[end].order == list[i].order; end++)
            ;
        start_group(core, list + i, end - i, end == n);
    }
    vm_put_all(core, vms);
    if (!atomic_load(&core->closing))
        write_state(core, "autostart", core->boot_id);
    return NULL;
}

struct autostart *autostart_start(struct core *core, struct err *err)
{
    struct autostart *a = mem_alloc(sizeof *a);

    a->core = core;
    if (thread_start(&a->thread, "autostart", autostart_main, a, err))
        return a;
    free(a);
    return NULL;
}

void autostart_stop(struct autostart *a)
{
    if (!a)
        return;
    pthread_join(a->thread, NULL);
    free(a);
}
