/* vmmd-pack, started for one memory image: see core/port/image.h and backends/qemu/pack_wire.h. */
#include "backends/qemu/pack_wire.h"
#include "backends/qemu/qemu.h"
#include "backends/qemu/tool.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/image.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS 1000

static char *program; /* set before there are threads */

void image_pack_init(const char *path)
{
    free(program);
    program = str_dup(path);
}

static bool judge(const struct pack_report *r, struct err *err)
{
    switch (r->outcome) {
    case PACK_DONE:
        return true;
    case PACK_MALFORMED:
        return err_set(err, ERR_UNSUPPORTED, "%.150s", r->detail);
    case PACK_NO_SPACE:
        return err_set(err, ERR_NO_SPACE, "the pool is full");
    default:
        return err_set(err, ERR_INTERNAL, "%.150s", r->detail);
    }
}

/* Between two reports somebody may have asked it to end. */
static bool await_report(int fd, image_tell *tell, void *ctx, struct err *err)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    while (poll(&one, 1, SILENCE_MS) <= 0)
        if (!tell(ctx, 0, err))
            return false;
    return true;
}

/* Until it is over, or not wanted any more. */
static bool listen_to(int fd, image_tell *tell, void *ctx, struct err *err)
{
    struct pack_report r;

    for (;;) {
        ssize_t n;
        if (!await_report(fd, tell, ctx, err))
            return false;
        n = read(fd, &r, sizeof r);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof r || r.version != 1)
            return err_set(err, ERR_INTERNAL, "vmmd-pack ended before its work");
        r.detail[sizeof r.detail - 1] = 0;
        if (r.outcome != PACK_GOES_ON)
            return judge(&r, err);
        if (!tell(ctx, r.bytes, err))
            return false;
    }
}

static bool run(char *const argv[], int from, int to, image_tell *tell, void *ctx, struct err *err)
{
    CLEANUP(closep) int report = -1;
    const int given[] = {from, to};
    pid_t pid;
    bool ok;

    if (!tool_start(program, argv, given, ARRAY_LEN(given), &report, &pid, err))
        return false;
    ok = listen_to(report, tell, ctx, err);
    tool_end(pid, true); /* it has flushed before it says that it is done; it need not end */
    return ok;
}

bool image_pack(int from, int to, image_tell *tell, void *ctx, struct err *err)
{
    char *argv[] = {(char *)"vmmd-pack", (char *)"pack", NULL};

    return run(argv, from, to, tell, ctx, err);
}

bool image_unpack(int from, int to, uint64_t max_bytes, image_tell *tell, void *ctx,
                  struct err *err)
{
    CLEANUP(mem_freep) char *max = str_format("%llu", (unsigned long long)max_bytes);
    char *argv[] = {(char *)"vmmd-pack", (char *)"unpack", max, NULL};

    return run(argv, from, to, tell, ctx, err);
}
