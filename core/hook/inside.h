/* The inside of core/hook: what the service (hook.c), the delivery threads (deliver.c) and the
 * signature (sign.c) share. */
#pragma once
#include "core/core/parts.h"
#include "core/hook/hook.h"
#include "core/port/post.h"

#define HOOK_RECENT  20
#define HOOK_SEND_MS 15000

/* The hooks' lock guards all but 'id', 'core' and 'stop'. It is never held over a call of the store
 * or the network. */
struct hook {
    struct uuid id;
    struct core *core;
    atomic_bool stop; /* ends a request under way; cleared when the thread has seen why */
    char *name, *url, *types, *secret, *disabled_why, *created_by;
    bool enabled, gone;
    bool changed; /* edited: look again instead of waiting */
    int64_t created_ms;
    uint64_t position, saved; /* last event done with, and as the store has it */
    uint32_t attempts;
    int64_t failing_ms, next_ms; /* wall clock; 0: not failing, nothing is due */
    json_t *recent;              /* array of deliveries as they are shown, newest first */
    struct hook *next;
};

struct hooks {
    struct lock lock;
    struct cond changed;
    struct lock writing; /* one create, edit or delete at a time; held over the flush */
    struct hook *first GUARDED_BY(lock);
    unsigned threads GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
};

/* Pauses and patience; tests have less. */
struct hook_timing {
    int64_t first_ms, most_ms; /* pause after the first failure; it doubles up to this */
    int64_t give_up_ms;        /* failing for so long: disabled */
};
extern struct hook_timing hook_timing;

/* One thing to send. */
struct delivery {
    struct uuid id; /* the same for every attempt at the same event of the same webhook */
    uint64_t seq;
    const char *type;
    const char *body;
};
struct uuid delivery_id(const struct uuid *hook, uint64_t seq, const char *type);
/* "t=<unix>,v1=<64 hex digits>": HMAC-SHA-256 with 'secret' of "<unix>.<body>". */
void delivery_sign(const char *secret, int64_t unix_s, const char *body, char out[100]);
bool delivery_send(const char *url, const char *secret, const struct delivery *d, unsigned attempt,
                   const atomic_bool *stop, struct post_result *out);
/* Pause before the next attempt: doubling, with jitter, at least what the receiver asked for. */
int64_t delivery_pause_ms(unsigned attempts, int64_t retry_after_s);

/* Starts the thread of a hook that is in the list. */
bool hook_thread_start(struct hook *hook, struct err *err) MUST_USE;
void hook_unlink(struct hooks *hooks, struct hook *hook) REQUIRES(hooks->lock); /* off the list */
void hook_free(struct hook *hook);
void hook_record(const struct hook *hook, struct webhook_record *out);
