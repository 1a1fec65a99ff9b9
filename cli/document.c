/* Files that people write: see document.h. JSON is tried first where the text looks like it, since
 * its messages are better; what begins with { and is no JSON may still be YAML in flow style. */
#include "cli/document.h"

#include "cli/yaml_read.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

json_t *document_parse(const char *text, size_t len, const char *what, struct fault *fault)
{
    size_t start = strspn(text, " \t\r\n");
    struct err err = {0}, yaml_err = {0};
    json_t *documents, *value;

    if (text[start] == '{' || text[start] == '[') {
        value = json_read(text, len, &err);
        if (value) {
            documents = json_array();
            json_array_append_new(documents, value);
            return documents;
        }
    }
    documents = yaml_read(text, len, &yaml_err);
    if (!documents)
        fault_set(fault, CLI_USAGE, "%.200s: %s", what,
                  err.detail[0] ? err.detail : yaml_err.detail);
    return documents;
}

json_t *document_read(struct cli *cli, const char *path, struct fault *fault)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t len = 0;

    if (!cli_read_input(cli, path, &text, &len, fault))
        return NULL;
    return document_parse(text, len, str_eq(path, "-") ? "standard input" : path, fault);
}
