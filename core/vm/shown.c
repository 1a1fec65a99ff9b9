/* Texts of VMs as they were shown last: see registry.h. Reading VMs is the commonest request there
 * is, so a text is kept as long as what it was made from is the same. SHOWN_BYTES hold those of
 * about 10,000 VMs; beyond it the text that was made first goes. */
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static bool is_as_shown(const struct vm *vm)
{
    const struct vm_shown *s = &vm->shown;

    return s->text && s->revision == vm->revision && s->state_revision == vm->state_revision &&
           uuid_eq(&s->job, &vm->job) && s->phase == vm->phase && s->accel == vm->accel &&
           s->has_reason == (vm->accel_reason[0] != 0);
}

void shown_drop(struct registry *r, struct vm *vm)
{
    if (!vm->shown.text)
        return;
    DL_DELETE2(r->shown, vm, shown.prev, shown.next);
    r->shown_bytes -= vm->shown.len;
    free(vm->shown.text);
    vm->shown = (struct vm_shown){0};
}

static void keep(struct registry *r, struct vm *vm, char *text) REQUIRES(r->lock);
static void keep(struct registry *r, struct vm *vm, char *text)
{
    size_t len = strlen(text);

    while (r->shown && r->shown_bytes + len > r->shown_max)
        shown_drop(r, r->shown);
    vm->shown = (struct vm_shown){.revision = vm->revision,
                                  .state_revision = vm->state_revision,
                                  .job = vm->job,
                                  .phase = vm->phase,
                                  .accel = vm->accel,
                                  .has_reason = vm->accel_reason[0] != 0,
                                  .text = text,
                                  .len = len};
    DL_APPEND2(r->shown, vm, shown.prev, shown.next);
    r->shown_bytes += len;
}

const char *shown_text(struct core *core, struct vm *vm, size_t *len)
{
    if (!is_as_shown(vm)) {
        CLEANUP(json_decrefp) json_t *view = vm_view(core, vm);
        char *text = json_write(view);

        shown_drop(&core->registry, vm);
        if (text)
            keep(&core->registry, vm, text);
    }
    *len = vm->shown.len;
    return vm->shown.text;
}
