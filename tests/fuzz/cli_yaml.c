/* Fuzz: YAML as people give it to vmmctl. What is read can be written and read again as the same
 * text, and a VM's members can be looked for in it; refusals name the line. */
#include "cli/member.h"
#include "cli/yaml.h"
#include "cli/yaml_read.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <stdlib.h>
#include <string.h>

static void must(bool what)
{
    if (!what)
        abort();
}

static void check_round_trip(const json_t *document)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0}, same = {0};
    CLEANUP(json_decrefp) json_t *again = NULL;
    struct err err = {0};

    yaml_write(document, &text);
    again = yaml_read(text.data, text.len, &err);
    must(json_array_size(again) == 1);
    yaml_write(json_array_get(again, 0), &same); /* reals are written with 15 digits */
    must(str_eq(text.data, same.data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(mem_freep) char *text = mem_alloc(size + 1);
    CLEANUP(json_decrefp) json_t *documents = NULL;
    struct err err = {0};
    json_t *document;
    size_t i;

    memcpy(text, data, size);
    documents = yaml_read(text, size, &err);
    if (!documents) {
        must(err.code != ERR_NONE && err.detail[0]);
        must(str_is_utf8(err.detail, strlen(err.detail)));
        return 0;
    }
    json_array_foreach (documents, i, document) {
        if (!json_is_null(document))
            check_round_trip(document);
        if (json_is_object(document))
            member_tidy(&vm_model, document);
    }
    return 0;
}
