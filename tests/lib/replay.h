/* Plays a record of disk changes (tests/preload/watch.h) and writes the states that a power cut may
 * leave. The model is as unkind as POSIX allows: until a file is flushed each of its writes may be
 * missing, torn at sectors or come before an earlier one; until a directory is flushed each change
 * of its names may be missing, whatever was flushed below it. */
#pragma once
#include "tests/preload/watch.h"

#include <stddef.h>

#define REPLAY_SECTOR_BYTES 512

struct replay;

enum replay_cut {
    REPLAY_NOTHING, /* only what was flushed */
    REPLAY_ALL,     /* all of the rest too: the state after a kill */
    REPLAY_PREFIX,  /* the rest up to some moment, in order */
    REPLAY_SOME,    /* any of the rest */
    REPLAY_TORN,    /* any of the rest, and writes by sectors */
    REPLAY_CUTS
};

enum replay_lie { REPLAY_HONEST = 0, REPLAY_NO_FILE_FLUSH = 1, REPLAY_NO_DIR_FLUSH = 2 };

/* 'root' is the directory that was recorded; it must still exist. Fails the test when the record
 * cannot be read. 'lies' turns flushes into nothing, to see whether the checks would notice. */
struct replay *replay_open(const char *log, const char *root, unsigned lies);
void replay_close(struct replay *r);
/* Goes on by one record; NULL at the end. '*note' is the text of a mark, owned by the replay. */
const struct watch_record *replay_next(struct replay *r, const char **note);
/* The hash of a state that a power cut at this point may leave; with 'to' (an empty directory) the
 * state itself in place of it. The same seed gives the same one. */
uint64_t replay_cut(struct replay *r, enum replay_cut how, unsigned seed, const char *to);
