/* Fuzz: the Cookie header. What is found fits, is of plain characters, stands in the header, and is
 * there once only. */
#include "api/cookie.h"
#include "core/base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = mem_alloc(size + 1), out[16];
    enum cookie_found found;

    memcpy(header, data, size);
    found = cookie_find(header, "c", out, sizeof out);
    if (found == COOKIE_ONE) {
        const char *at = strstr(header, "c=");
        assert(strlen(out) < sizeof out && at);
        assert(strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
               strlen(out));
        assert(strstr(header, out));
    }
    free(header);
    return 0;
}
