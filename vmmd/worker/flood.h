/* How much of what QEMU tells is passed on: a QEMU that was taken over may say the same thing a
 * hundred thousand times a second, and each change of its state is a record in main's database.
 *
 *   a change of state (STOP, RESUME, …)  never lost: when there are too many, QEMU's monitor is not
 *                                        listened to until they are paid for, and its own words
 *                                        wait; and little is read at a time, so that what was read
 *                                        with the last that is free is little, too
 *   anything else                        what is too much is dropped; a guest alone can cause it
 *                                        (resets, read errors), and its monitor goes on meanwhile
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOOD_STATES       400 /* changes of state at once */
#define FLOOD_STATES_PER_S 20
#define FLOOD_NOTES        2000 /* other events at once */
#define FLOOD_NOTES_PER_S  200
#define FLOOD_PIECE        1024 /* bytes that are read when no change of state is left */
#define FLOOD_STATE_BYTES  16   /* a change of state is told in more than these */

struct flood_bucket {
    int64_t left;      /* less than 0: that many were taken too early */
    int64_t filled_ms; /* 0: full */
};

struct flood {
    struct flood_bucket states, notes;
    int64_t deaf_until_ms; /* QEMU's monitor is not listened to before this */
    bool told;             /* it is in the log */
};

/* Counts an event. False: it is not to be passed on. */
bool flood_takes(struct flood *f, bool changes_state, int64_t now_ms);
bool flood_is_deaf(const struct flood *f, int64_t now_ms);
/* How many bytes of QEMU's monitor may be read at once. */
size_t flood_piece(struct flood *f, int64_t now_ms);
