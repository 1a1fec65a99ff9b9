/* A VM's serial console and screen. Interactive consoles follow the log and type by single POSTs.
 */
#include "api/handlers.h"
#include "api/server.h"
#include "api/stream.h"
#include "core/base/mem.h"
#include "core/vm/vm.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define MAX_READ_BYTES   (1u << 20)
#define USUAL_READ_BYTES (64u << 10)
#define FOLLOW_BLOCK     (16u << 10)

struct follow {
    struct stream stream;
    char *vm;
    unsigned port;
    uint64_t offset;
};

/* '*offset' from "?offset=": a number, or "end". */
static bool start_offset(const struct request *rq, uint64_t *offset, struct err *err)
{
    if (!str_eq(request_query(rq, "offset"), "end"))
        return request_query_u64(rq, "offset", 0, INT64_MAX, 0, offset, err);
    *offset = UINT64_MAX; /* core lowers it to the end */
    return true;
}

static bool which_port(const struct request *rq, unsigned *port, struct err *err)
{
    uint64_t n;
    bool ok = request_query_u64(rq, "port", 0, VM_SERIAL_PORTS_MAX - 1, 0, &n, err);

    *port = (unsigned)n;
    return ok;
}

static ssize_t follow_more(void *cls, uint64_t pos, char *out, size_t cap)
{
    struct follow *f = cls;
    struct err err = {0};
    uint64_t end;
    ssize_t n = 0;

    (void)pos;
    stream_turn_begins(&f->stream);
    while (n == 0 && stream_goes_on(&f->stream))
        n = vm_serial_read(f->stream.api->config.core, f->vm, f->port, &f->offset, out, cap,
                           STREAM_SLICE_MS, &end, &err);
    stream_turn_ends(&f->stream);
    if (n > 0) {
        f->offset += (uint64_t)n;
        return n;
    }
    return n < 0 && !atomic_load(&f->stream.api->stopping) ? MHD_CONTENT_READER_END_WITH_ERROR
                                                           : MHD_CONTENT_READER_END_OF_STREAM;
}

static void follow_free(void *cls)
{
    struct follow *f = cls;

    stream_clear(&f->stream);
    free(f->vm);
    mem_free_secret(f, sizeof *f);
}

/* Begins where a read without waiting says the log stands: that also finds a VM that is not. */
static bool serial_follow(struct request *rq, unsigned port, uint64_t offset, struct err *err)
{
    struct follow *f;
    struct MHD_Response *response;
    uint64_t end = 0;
    char probe[1];

    if (vm_serial_read(rq->api->config.core, rq->ref, port, &offset, probe, sizeof probe, 0, &end,
                       err) < 0)
        return false;
    f = mem_alloc(sizeof *f);
    stream_init(&f->stream, rq);
    f->vm = str_dup(rq->ref);
    f->port = port;
    f->offset = offset;
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, FOLLOW_BLOCK, follow_more, f,
                                                 follow_free);
    if (!response) {
        follow_free(f);
        return err_set(err, ERR_INTERNAL, "the stream cannot be made");
    }
    reply_header(rq, "Vmmd-Serial-Offset", "%" PRIu64, offset);
    reply_header(rq, "Vmmd-Serial-End", "%" PRIu64, end);
    return reply_stream(rq, "application/octet-stream", response);
}

bool serial_read(struct request *rq, struct err *err)
{
    CLEANUP(stream_forget) struct stream stream = {0};
    CLEANUP(mem_freep) char *data = NULL;
    uint64_t offset, limit, wait_s, end = 0;
    unsigned port;
    bool follow;
    ssize_t n;

    if (!start_offset(rq, &offset, err) || !which_port(rq, &port, err) ||
        !request_query_u64(rq, "limit", 1, MAX_READ_BYTES, USUAL_READ_BYTES, &limit, err) ||
        !request_query_u64(rq, "wait", 0, REQUEST_MAX_WAIT_S, 0, &wait_s, err) ||
        !request_query_bool(rq, "follow", &follow, err))
        return false;
    if (follow)
        return serial_follow(rq, port, offset, err);
    data = mem_alloc(limit);
    stream_init(&stream, rq);
    n = vm_serial_read(rq->api->config.core, rq->ref, port, &offset, data, limit,
                       (int64_t)wait_s * 1000, &end, err);
    if (n < 0 || !stream_may(&stream, err))
        return false;
    reply_header(rq, "Vmmd-Serial-Offset", "%" PRIu64, offset);
    reply_header(rq, "Vmmd-Serial-Next", "%" PRIu64, offset + (uint64_t)n);
    reply_header(rq, "Vmmd-Serial-End", "%" PRIu64, end);
    return reply_bytes(rq, "application/octet-stream", TAKE(data), (size_t)n);
}

bool serial_write(struct request *rq, struct err *err)
{
    struct origin origin;
    unsigned port;

    return which_port(rq, &port, err) && request_origin(rq, &origin, err) &&
           vm_serial_write(rq->api->config.core, rq->ref, port, rq->body.data ? rq->body.data : "",
                           rq->body.len, &origin, err) &&
           reply_empty(rq, 204);
}

bool log_read(struct request *rq, struct err *err)
{
    static const char *const sources[] = {"qemu", "serial"};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    const char *source = request_query(rq, "source");
    bool serial = str_eq(source, sources[VM_LOG_SERIAL]);
    uint64_t lines;
    unsigned port;
    size_t len;

    if (source && !serial && !str_eq(source, sources[VM_LOG_QEMU]))
        return err_field(err, ERR_INVALID, "?source", "source must be qemu or serial");
    if (!serial && request_query(rq, "port"))
        return err_field(err, ERR_INVALID, "?port", "a port has source=serial only");
    if (!request_query_u64(rq, "lines", 1, 10000, 100, &lines, err) ||
        !which_port(rq, &port, err) ||
        !vm_log_tail(rq->api->config.core, rq->ref, serial ? VM_LOG_SERIAL : VM_LOG_QEMU, port,
                     (unsigned)lines, &text, err))
        return false;
    len = text.len;
    return reply_bytes(rq, "text/plain; charset=utf-8", strbuf_take(&text), len);
}

bool screenshot_get(struct request *rq, struct err *err)
{
    uint64_t head;
    char *png = NULL;
    size_t len = 0;

    return request_query_u64(rq, "head", 0, VM_HEADS_MAX - 1, 0, &head, err) &&
           vm_screenshot(rq->api->config.core, rq->ref, (unsigned)head, &png, &len, err) &&
           reply_bytes(rq, "image/png", png, len);
}
