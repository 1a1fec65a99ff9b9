/* Lists from the service: see list.h. */
#include "cli/list.h"

#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

#define MAX_ITEMS 1000000u
#define PAGE      1000u /* objects of one reply, the service's limit */

static void add_query(struct strbuf *path, const char *key, const char *value)
{
    CLEANUP(mem_freep) char *encoded = value ? http_encode(value) : NULL;

    if (value)
        strbuf_addf(path, "%c%s=%s", strchr(path->data, '?') ? '&' : '?', key, encoded);
}

static char *page_path(const char *path, size_t have, uint64_t most, const char *token)
{
    uint64_t left = most ? most - have : PAGE;
    CLEANUP(mem_freep)
    char *size = str_format("%llu", (unsigned long long)(left < PAGE ? left : PAGE));
    struct strbuf b = {0};

    strbuf_adds(&b, path);
    add_query(&b, "page_size", size);
    add_query(&b, "page_token", token);
    return strbuf_take(&b);
}

json_t *list_fetch(struct cli *cli, const char *path, uint64_t most, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *all = json_array();
    CLEANUP(mem_freep) char *next = page_path(path, 0, most, NULL);

    while (next) {
        CLEANUP(json_decrefp) json_t *page = http_get(cli->http, next, fault);
        const char *token = json_get_text(page, "next_page_token");

        if (!page)
            return NULL;
        if (json_array_extend(all, json_object_get(page, "items")) < 0 ||
            json_array_size(all) > MAX_ITEMS) {
            fault_set(fault, CLI_FAILED, "the reply is no list; is this vmmd?");
            return NULL;
        }
        mem_freep(&next);
        if (token && (!most || json_array_size(all) < most))
            next = page_path(path, json_array_size(all), most, token);
    }
    return TAKE(all);
}

bool list_pages(struct cli *cli, const char *path, list_take *take, void *ctx, struct fault *fault)
{
    CLEANUP(mem_freep) char *next = page_path(path, 0, 0, NULL);

    while (next) {
        CLEANUP(json_decrefp) json_t *page = http_get(cli->http, next, fault);
        const char *token = json_get_text(page, "next_page_token");

        if (!page || !take(ctx, json_object_get(page, "items"), fault))
            return false;
        mem_freep(&next);
        next = token ? page_path(path, 0, 0, token) : NULL;
    }
    return true;
}

bool list_print(struct cli *cli, const char *path, const struct column *columns,
                struct fault *fault)
{
    CLEANUP(mem_freep) char *fields = NULL, *query = NULL;
    CLEANUP(json_decrefp) json_t *items = NULL;
    struct strbuf b = {0};
    uint64_t most = 0;

    if (cli->args->command->uses & USES_LIST) {
        if (!args_number(cli->args, "limit", 0, &most, fault) ||
            !output_members(cli, columns, &fields, fault))
            return false;
        strbuf_adds(&b, path);
        add_query(&b, "filter", args_text(cli->args, "filter"));
        add_query(&b, "order", args_text(cli->args, "order"));
        add_query(&b, "fields", fields);
        query = strbuf_take(&b);
    }
    items = list_fetch(cli, query ? query : path, most, fault);
    return items && output_list(cli, items, columns, fault);
}
