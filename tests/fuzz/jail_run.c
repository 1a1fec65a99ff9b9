/* Fuzz: what a worker tells the jail's init, which executes it. Whatever is accepted has an argv
 * that ends, inside the message, and descriptors that came along. */
#include "core/base/mem.h"
#include "vmmd/jail/request.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jail_request request;
    CLEANUP(mem_freep) char *payload = mem_alloc(size + 1);
    struct err err = {0};

    if (!size)
        return 0;
    memcpy(payload, data + 1, size - 1);
    if (!jail_request_read(payload, size - 1, data[0], &request, &err)) {
        must(err.detail[0]);
        return 0;
    }
    must(request.n_args > 0 && request.n_args <= JAIL_MAX_ARGS && !request.argv[request.n_args]);
    for (unsigned i = 0; i < request.n_args; i++)
        must(request.argv[i] >= payload &&
             request.argv[i] + strlen(request.argv[i]) < payload + size);
    must(request.n_fds <= FRAME_MAX_FDS);
    return 0;
}
