/* A guest's memory into an image: the moment itself, and the stream that follows (docs/memory.md).
 * Done here and not by main, so that neither a dead nor a slow daemon leaves a guest standing. */
#pragma once
#include "vmmd/split/proto.h"
#include "vmmd/worker/daemon.h"
#include "vmmd/worker/memory_ask.h"

#include <jansson.h>

#define MEMORY_STALL_MS    10000 /* without any progress: who takes the stream hangs */
#define MEMORY_CONVERGE_MS 60000 /* then the guest is stopped for the rest of a precopy */

struct worker;

enum memory_step {
    MEMORY_IDLE,
    MEMORY_PREPARING, /* QEMU is told how; the guest is as it was */
    MEMORY_STOPPING,
    MEMORY_SWITCHING,
    MEMORY_STARTING,  /* the migration */
    MEMORY_STREAMING, /* it runs */
    MEMORY_SETTLING,  /* QEMU has written all, and comes to rest */
    MEMORY_CANCELLING,
    MEMORY_RESUMING, /* the guest */
    MEMORY_FLUSHING, /* QEMU has said all; the splitter is not through */
    MEMORY_OVER      /* how it went is known until main has it forgotten */
};

struct memory {
    enum memory_step step;
    struct memory_ask *ask; /* NULL when idle */
    int stream;             /* QEMU's end until it has it; -1 */
    unsigned prepared;      /* commands of PREPARING that are through */
    bool ran;               /* the guest: it is to run again */
    bool still;             /* it stands still while its memory is written */
    bool hidden;            /* it has stopped for this, and nobody was told */
    bool own_stop;          /* a STOP that comes now has another reason */
    bool nudging;           /* STOP and RESUME that come now are ours */
    bool migrating;         /* QEMU writes, or may */
    bool tracks;            /* it is to hold the guest's writes back: a background snapshot */
    bool settled;           /* it has written all, and has come to rest */
    bool past_switch;       /* nothing is left to switch */
    bool switched, well, no_space;
    int64_t since_us; /* it stands */
    uint64_t pause_us;
    int64_t moved_ms, look_ms, converge_ms; /* progress seen; when QEMU is asked again; precopy */
    bool looking;                           /* it was asked and has not answered */
    unsigned asked;                         /* SETTLING: how often */
    uint64_t done, total, transferred;
    const struct split_report *said; /* NULL: not yet */
    struct request from;             /* who waits for the guest to be as before */
    char error[256];
};

void memory_init(struct worker *w);
/* WORKER_MEMORY, with the image's descriptor; WORKER_MEMORY_STATE, _END, _LOOK. */
bool memory_begin(struct worker *w, const struct request *from, struct frame *f,
                  struct err *err) MUST_USE;
bool memory_tell(struct worker *w, const struct request *from, struct frame *f,
                 struct err *err) MUST_USE;
bool memory_end(struct worker *w, const struct request *from, struct frame *f,
                struct err *err) MUST_USE;
bool memory_look(struct worker *w, const struct request *from, struct frame *f,
                 struct err *err) MUST_USE;
/* From WORKER_MEMORY on until it is over. */
bool memory_is_busy(const struct worker *w);
/* False with BUSY when main's command would come in between. */
bool memory_allows(const struct worker *w, const char *command, struct err *err) MUST_USE;
/* An event came from QEMU: true when it is nobody's business but this one's. */
bool memory_event(struct worker *w, const char *name, const json_t *data);
/* The splitter has ended; NULL: without a word. */
void memory_split_over(struct worker *w, const struct split_report *said);
void memory_qemu_gone(struct worker *w);
int64_t memory_tick(struct worker *w, int64_t now_ms);

/* ---- between memory.c, memory_guest.c, memory_events.c, memory_requests.c ---- */

/* Whatever came out, the guest is as it was before; memory_guest_is_back() goes on. */
void memory_resume(struct worker *w);
void memory_guest_is_back(struct worker *w);
/* It ends, with this reason. */
void memory_fail(struct worker *w, const char *reason);
bool memory_writes(const struct memory *m); /* QEMU does */
void memory_settle(struct worker *w);       /* it is asked whether it has come to rest */
void memory_written(struct worker *w);      /* all is in the socket */
void memory_look_again(struct worker *w);   /* QEMU is asked how far it is */
void memory_runs_again(struct memory *m);   /* the guest, after its pause */
void memory_forget(struct worker *w);
/* It has worked, and the guest that was to stand still is as before nevertheless. The answer comes
 * when it is. */
bool memory_take_back(struct worker *w, const struct request *from, struct err *err) MUST_USE;

/* ---- memory_words.c, for memory.c ---- */

/* How it stands, as WORKER_MEMORY_STATE and WORKER_MEMORY_ENDED say it; owned by the caller. */
json_t *memory_describe(const struct worker *w);
/* What was asked of QEMU's monitor; taken by qmp_execute(). */
json_t *memory_capabilities(bool background, bool others);
json_t *memory_parameters(void);
json_t *memory_transaction(const struct memory_ask *ask);
