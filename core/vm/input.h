/* What a person at a VM's keyboard and mouse does. None of it is an operation: it takes effect
 * while the call lasts, leaves no trace in the store, and is never repeated after a restart. */
#pragma once
#include "core/core/core.h"
#include "core/model/keys.h"

#define TYPE_TEXT_MAX   4096  /* bytes */
#define TYPE_TIME_MAX_S 60    /* for all of it */
#define KEYS_MAX        16    /* pressed together */
#define KEYS_HOLD_MS    10000 /* at most */

/* Asked between two keys: whether the client has left. 'gone' may be NULL. */
struct vm_patience {
    bool (*gone)(void *ctx);
    void *ctx;
};

/* Presses 'keys' (names for key_find()) one after the other, holds them all for 'hold_ms' and lets
 * go of them in reverse. Blocks that long. WRONG_STATE, BUSY while another client types. */
bool vm_send_keys(struct core *core, const char *ref, const json_t *keys, unsigned hold_ms,
                  const struct vm_patience *patience, const struct origin *origin,
                  struct err *err) MUST_USE;
/* Types 'text' at one character every 'interval_ms', and blocks until it is typed; a client that
 * leaves or a daemon that ends stops it between two characters, with CANCELLED or UNAVAILABLE and
 * how far it came. INVALID: a character that is not on the keyboard, or more than TYPE_TIME_MAX_S:
 * then nothing was typed. */
bool vm_type(struct core *core, const char *ref, const char *text, enum key_layout layout,
             unsigned interval_ms, const struct vm_patience *patience, const struct origin *origin,
             struct err *err) MUST_USE;

extern const char *const pointer_buttons[]; /* QEMU's names, NULL-terminated */
bool check_button(const char *name, const char **why);

struct pointer_move {
    unsigned head;
    double x, y;           /* 0 to 1 of that display; NAN: it stays. Needs a tablet */
    double dx, dy;         /* pixels; NAN: none. Needs a mouse */
    const json_t *buttons; /* those that are down from now on; NULL: as they are */
};
/* INVALID (no such head; a tablet cannot be moved by pixels, nor a mouse placed), WRONG_STATE. */
bool vm_point(struct core *core, const char *ref, const struct pointer_move *move,
              const struct origin *origin, struct err *err) MUST_USE;

/* The non-maskable interrupt: makes many kernels write a crash dump. */
bool vm_nmi(struct core *core, const char *ref, const struct origin *origin,
            struct err *err) MUST_USE;
