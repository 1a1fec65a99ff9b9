/* Fuzz: JSON from strangers. Whatever comes, json_read() gives a value within the limits or a
 * refusal that a JSON reply can carry, and what it gave can be written and read again. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(json_decrefp) json_t *value = NULL, *again = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    value = json_read((const char *)data, size, &err);
    if (!value) {
        must(err.code == ERR_MALFORMED && err.detail[0]);
        must(str_is_utf8(err.detail, strlen(err.detail)));
        return 0;
    }
    text = json_write(value);
    again = json_read(text, strlen(text), &err);
    must(again && json_equal(value, again));
    return 0;
}
