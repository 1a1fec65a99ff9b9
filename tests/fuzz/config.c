/* Fuzz: vmmd.conf. A text is a configuration or an error that names its line. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_freep) struct config *c = mem_alloc(sizeof *c);
    CLEANUP(mem_freep) char *text = mem_alloc(size + 1);
    struct err err = {0};

    memcpy(text, data, size);
    text[size] = 0;
    if (!config_parse(c, "vmmd.conf", text, &err) &&
        (err.code != ERR_INVALID || !str_starts(err.detail, "vmmd.conf")))
        abort();
    return 0;
}
