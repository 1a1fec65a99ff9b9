/* VMs as the API sees them. Shapes are the schemas of openapi.yaml: Vm, VmList, Operation. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/model/state.h"
#include "core/model/vm.h"

/* Entity tag of a VM: "<revision>.<state revision>"; If-Match looks at the first part only, so that
 * a guest that powers off does not spoil an edit. */
struct etag {
    uint64_t revision, state_revision;
};

/* The body of POST /vms as a whole configuration: a VmSpec, with what "template" or "copy_of" names
 * below it (NOT_FOUND with that as field), and '*start'. INVALID. */
bool vm_create_decode(struct core *core, const json_t *body, struct vm_spec *spec, bool *start,
                      struct err *err) MUST_USE;
/* Submits "vm.create": disks, row, disaster copy; with 'start' it ends when the VM runs, and a
 * start that fails leaves the VM defined. '*spec' is taken (cleared) on success and failure.
 * EXISTS, INVALID, NOT_FOUND (pool, boot entry), NO_SPACE with the numbers. With origin->dry_run
 * nothing is submitted and '*op' is zero. */
bool vm_create(struct core *core, struct vm_spec *spec, bool start, const struct origin *origin,
               struct uuid *op, struct uuid *vm, struct err *err) MUST_USE;
json_t *vm_show(struct core *core, const char *ref, struct etag *etag, struct err *err) MUST_USE;
/* The same as JSON text, which the caller owns; made anew only when the VM has changed. */
char *vm_show_text(struct core *core, const char *ref, struct etag *etag, size_t *len,
                   struct err *err) MUST_USE;
/* Appends {"items":[Vm…],"next_page_token":…} for a query of schema_vm. */
void vm_list(struct core *core, const struct query *query, struct strbuf *out);
/* The ids, as texts in an array, of all VMs that 'filter' lets through, by name. INVALID with
 * "/filter": it cannot be read, or there are more than 'most'. */
json_t *vm_matching(struct core *core, const char *filter, size_t most, struct err *err) MUST_USE;
/* RFC 7396 merge patch; 'if_match' NULL when not given. Returns the changed VM. */
json_t *vm_edit(struct core *core, const char *ref, const json_t *patch,
                const struct etag *if_match, const struct origin *origin, struct etag *etag,
                struct err *err) MUST_USE;
/* Submits "vm.delete". WRONG_STATE unless off (or crashed). */
bool vm_delete(struct core *core, const char *ref, const struct etag *if_match,
               const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;

/* Submits "vm.<verb>"; args may be NULL: {"timeout_s":n} for shutdown. WRONG_STATE, BUSY. */
bool vm_act(struct core *core, const char *ref, enum vm_verb verb, const json_t *args,
            const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;

/* Submits "host.shutdown-guests": every VM goes down by its host_shutdown action, all at the same
 * time; ends when none lives any more. Its result: {"guests":n,"forced_off":n}. */
bool guests_shutdown(struct core *core, const struct origin *origin, struct uuid *op,
                     struct err *err) MUST_USE;

/* The log of a serial port from '*offset' on: up to 'cap' bytes into 'out'. Waits up to 'wait_ms'
 * for the first new byte. '*offset' is raised when older bytes were dropped. Works in every state.
 * Returns the bytes read, -1 on failure. 'port' is below VM_SERIAL_PORTS_MAX; INVALID when the VM
 * has no such port. */
ssize_t vm_serial_read(struct core *core, const char *ref, unsigned port, uint64_t *offset,
                       void *out, size_t cap, int64_t wait_ms, uint64_t *end,
                       struct err *err) MUST_USE;
/* The last 'lines' lines of a log, of its last MiB at most, appended to 'out' as UTF-8 with control
 * characters written as \xNN; nothing when the VM never ran. 'port' is that of VM_LOG_SERIAL. */
enum vm_log_source { VM_LOG_QEMU, VM_LOG_SERIAL };
#define VM_LOG_BYTES (1u << 20)
bool vm_log_tail(struct core *core, const char *ref, enum vm_log_source source, unsigned port,
                 unsigned lines, struct strbuf *out, struct err *err) MUST_USE;
bool vm_serial_write(struct core *core, const char *ref, unsigned port, const void *data,
                     size_t len, const struct origin *origin, struct err *err) MUST_USE;
bool vm_screenshot(struct core *core, const char *ref, unsigned head, char **png, size_t *len,
                   struct err *err) MUST_USE;
