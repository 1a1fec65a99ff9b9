/* What main asks about a memory image: how it stands, its end, and what could be done. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <string.h>

#define CANCELLED "it was cancelled"

static bool is_about(const struct memory *m, const struct uuid *image)
{
    return m->ask && uuid_eq(&m->ask->image, image);
}

static void reply(struct worker *w, const struct request *to, json_t *taken)
{
    CLEANUP(json_decrefp) json_t *body = taken;
    CLEANUP(mem_freep) char *text = json_write(body);

    daemon_reply(w, to, text);
}

/* From the answer on the guest runs, and its disks are no longer those of the image: whoever asks
 * next, a daemon that knows of no cancellation for one, must not take the image for complete. */
static bool take_back(struct worker *w, const struct request *from, struct err *err)
{
    struct memory *m = &w->memory;

    if (!memory_take_back(w, from, err))
        return false;
    m->well = false;
    str_copy(m->error, sizeof m->error, CANCELLED);
    return true;
}

/* Of another image nothing is known. */
bool memory_tell(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    struct uuid image;
    bool cancel;

    if (!memory_ask_image(f->payload, f->head.length, &image, &cancel, err))
        return false;
    reply(w, from,
          is_about(&w->memory, &image) ? memory_describe(w) : json_pack("{s:s}", "state", "none"));
    return true;
}

bool memory_end(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    struct memory *m = &w->memory;
    struct uuid image;
    bool cancel;

    if (!memory_ask_image(f->payload, f->head.length, &image, &cancel, err))
        return false;
    if (is_about(m, &image) && cancel && memory_is_busy(w))
        memory_fail(w, CANCELLED);
    else if (is_about(m, &image) && cancel && m->well && m->ask->way == ASK_STILL)
        return take_back(w, from, err);
    else if (is_about(m, &image) && !cancel && !memory_is_busy(w))
        memory_forget(w);
    else if (is_about(m, &image) && !cancel)
        return err_set(err, ERR_BUSY, "the VM's memory is still being written");
    daemon_reply(w, from, "{}");
    return true;
}

/* ---- what could be done ---- */

static void answer_look(struct worker *w, const struct request *from, const char *reason)
{
    reply(w, from,
          json_pack("{s:b,s:b,s:s,s:b,s:b}", "can", w->split.program >= 0, "background", !*reason,
                    "reason", reason, "pause", true, "from_image", w->from_image));
}

/* QEMU's words for what a host or a memory lacks. */
static const char *explain(const char *why)
{
    if (why && strstr(why, "host kernel"))
        return "QEMU has no userfaultfd on this host: the VM was started without one, and the "
               "sysctl vm.unprivileged_userfaultfd is 0";
    if (why && strstr(why, "memory configuration"))
        return "the guest's memory is of a kind that the host cannot watch for writes";
    return why ? why : "QEMU does not say why";
}

static void reset(struct worker *w, const struct request *from, const json_t *answer)
{
}

static void looked(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *why = json_get_text(json_object_get(answer, "error"), "desc");
    struct err err = {0};

    if (json_object_get(answer, "return")) {
        err_ignore(qmp_execute(w, "migrate-set-capabilities", memory_capabilities(false, false),
                               reset, &err),
                   &err);
        answer_look(w, from, "");
    } else if (w->qmp.sock >= 0) {
        answer_look(w, from, explain(why));
    } else {
        err_set(&err, ERR_UNAVAILABLE, "QEMU is ending");
        daemon_fail(w, from, &err);
    }
}

bool memory_look(struct worker *w, const struct request *from, struct frame *f, struct err *err)
{
    if (memory_is_busy(w))
        return err_set(err, ERR_BUSY, "the VM's memory is being written");
    if (w->from_image) {
        answer_look(w, from,
                    "the guest's memory is a private copy of the image that it began with, until "
                    "the VM is stopped and started again");
        return true;
    }
    return qmp_execute_with(w, "migrate-set-capabilities", memory_capabilities(true, false), looked,
                            from, -1, err);
}
