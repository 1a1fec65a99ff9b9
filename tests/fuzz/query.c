/* Fuzz: filter, fields, order and page token of a stranger, cut at newlines. What is accepted is
 * applied to an object; refusals name the parameter. */
#include "core/base/mem.h"
#include "core/model/page.h"

#include <stdlib.h>
#include <string.h>

static const char object[] =
    "{\"id\":\"1\",\"name\":\"ci-web\",\"state\":\"running\",\"notes\":null,\"memory_bytes\":1024,"
    "\"labels\":{\"ci\":\"true\"},\"run\":{\"state\":\"running\"},\"boot\":{\"kernel\":\"tiny\"},"
    "\"disks\":[{\"pool\":\"main\",\"size_bytes\":5}],\"created_at\":\"2026-11-21T01:02:03.456Z\"}";

static void must(bool what)
{
    if (!what)
        abort();
}

static const char *part(char **rest)
{
    char *text = strsep(rest, "\n");

    return text && *text ? text : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(mem_freep) char *copy = mem_alloc(size + 1);
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(page_clear) struct page page = {.query = &q};
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;
    struct query_ask ask = {.page_size = 1};
    struct err err = {0};
    char *rest = copy;

    memcpy(copy, data, size);
    ask.filter = part(&rest);
    ask.fields = part(&rest);
    ask.order = part(&rest);
    ask.page_token = part(&rest);
    if (!query_parse(&schema_vm, &ask, &q, &err)) {
        must(err.code == ERR_INVALID && err.detail[0] && err.field[0] == '?');
        must(str_is_utf8(err.detail, strlen(err.detail)));
        return 0;
    }
    page_offer(&page, json_loads(object, 0, NULL));
    page_offer(&page, json_loads(object, 0, NULL));
    page_write(&page, NULL, NULL, &out);
    list = json_loads(out.data, 0, NULL);
    must(json_is_object(list));
    return 0;
}
