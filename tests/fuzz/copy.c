/* Fuzz: the disaster copies of VMs and of the host. A text is refused with a reason, or it is a
 * copy that is read again from its own text. */
#include "core/base/mem.h"
#include "core/rebuild/document.h"

#include <stdlib.h>
#include <string.h>

static void vm_again(const struct vm_copy *copy)
{
    CLEANUP(json_decrefp) json_t *json = vm_copy_json(copy);
    CLEANUP(mem_freep) char *text = json_write(json);
    CLEANUP(vm_copy_clear) struct vm_copy again = {0};
    struct err err = {0};

    if (!vm_copy_read(text, strlen(text), &again, &err))
        abort();
}

static void host_again(const struct host_copy *copy)
{
    CLEANUP(json_decrefp) json_t *json = host_copy_json(copy);
    CLEANUP(mem_freep) char *text = json_write(json);
    CLEANUP(host_copy_clear) struct host_copy again = {0};
    struct err err = {0};

    if (!host_copy_read(text, strlen(text), &again, &err))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(vm_copy_clear) struct vm_copy vm = {0};
    CLEANUP(host_copy_clear) struct host_copy host = {0};
    struct err err = {0};

    if (vm_copy_read((const char *)data, size, &vm, &err))
        vm_again(&vm);
    else if (!err.detail[0])
        abort();
    err = (struct err){0};
    if (host_copy_read((const char *)data, size, &host, &err))
        host_again(&host);
    else if (!err.detail[0])
        abort();
    return 0;
}
