/* The commit log's writer: see recorder.h. A thread a record: there are few of them, and an idle
 * worker has one thread. The thread owns its record until it hands it over through 'over'; nothing
 * else is shared. */
#include "vmmd/worker/recorder.h"

#include "core/base/commitlog.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/thread.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct record {
    struct recorder *recorder;
    int log; /* borrowed: the recorder stays open while one is written */
    uint64_t sequence;
    char *text;
    bool ok;
    struct err err;
};

void recorder_init(struct worker *w)
{
    w->recorder.log = w->recorder.wake = -1;
}

bool recorder_open(struct worker *w, int log, struct err *err)
{
    CLEANUP(closep) int fd = log;
    CLEANUP(json_decrefp) json_t *last = NULL;

    if (fd < 0)
        return true;
    if (!commitlog_last(fd, &w->recorder.sequence, &last, err))
        return false;
    w->recorder.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->recorder.wake < 0)
        return err_errno(err, errno, "make an eventfd");
    w->recorder.log = TAKE_FD(fd);
    return true;
}

/* While a record is being written its descriptors stay: the process ends soon. */
void recorder_close(struct worker *w)
{
    if (w->recorder.busy)
        return;
    closep(&w->recorder.log);
    closep(&w->recorder.wake);
}

static void record_free(struct record *r)
{
    free(r->text);
    free(r);
}

static void *write_record(void *arg)
{
    struct record *r = arg;
    struct recorder *recorder = r->recorder;
    const uint64_t one = 1;
    ssize_t n;

    r->ok = commitlog_write(r->log, r->sequence, r->text, &r->err);
    atomic_store(&recorder->over, r);
    n = write(recorder->wake, &one, sizeof one);
    (void)n; /* an eventfd that is full wakes as well */
    return NULL;
}

bool recorder_write(struct worker *w, const char *text, struct err *err)
{
    struct record *r;

    if (w->recorder.log < 0 || w->recorder.busy)
        return err_set(err, ERR_INTERNAL, "the commit log is not ready for a record");
    r = mem_alloc(sizeof *r);
    *r = (struct record){.recorder = &w->recorder,
                         .log = w->recorder.log,
                         .sequence = ++w->recorder.sequence,
                         .text = mem_dup(text, strlen(text) + 1)};
    w->recorder.busy = true;
    if (thread_start_detached("commit-log", write_record, r, err))
        return true;
    w->recorder.busy = false;
    record_free(r);
    return false;
}

void recorder_ready(struct worker *w)
{
    struct record *r;
    uint64_t count;

    if (read(w->recorder.wake, &count, sizeof count) != sizeof count)
        return;
    r = atomic_exchange(&w->recorder.over, NULL);
    if (!r)
        return;
    w->recorder.busy = false;
    pivot_recorded(w, r->ok, &r->err);
    record_free(r);
}
