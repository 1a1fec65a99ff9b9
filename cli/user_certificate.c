/* vmmctl user add-certificate, certificates, remove-certificate: what programs prove by TLS who
 * they are with. Only the certificate is sent; its key is refused. */
#include "cli/list.h"
#include "cli/user.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static const struct column columns[] = {
    {"SUBJECT", "subject", CELL_TEXT, false},
    {"EXPIRES", "expires_at", CELL_TIME, false},
    {"SINCE", "created_at", CELL_TIME, false},
    {"BY", "created_by", CELL_TEXT, true},
    {"SHA256", "sha256", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, false},
    {0},
};

/* The first certificate of the text, and nothing else of it: a key in the same file stays here. */
static char *only_certificate(const char *text)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    const char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;

    return to ? str_format("%.*s\n", (int)(to - from + (long)strlen(end)), from) : NULL;
}

bool user_add_certificate_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/certificates", cli_word(cli, 0));
    CLEANUP(mem_freep) char *text = NULL, *pem = NULL;
    CLEANUP(json_decrefp) json_t *spec = json_object(), *made = NULL;
    size_t len;

    if (!cli_read_input(cli, cli_word(cli, 1), &text, &len, fault))
        return false;
    pem = only_certificate(text);
    explicit_bzero(text, len);
    if (!pem)
        return fault_set(fault, CLI_USAGE, "%.200s holds no certificate as PEM", cli_word(cli, 1));
    json_put_text(spec, "pem", pem);
    made = http_post(cli->http, path, spec, fault);
    return made && output_object(cli, made, columns, fault);
}

bool user_certificates_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/users/{}/certificates", cli_word(cli, 0));

    return list_print(cli, path, columns, fault);
}

bool user_remove_certificate_run(struct cli *cli, struct fault *fault)
{
    for (size_t i = 1; i < cli->args->n_words; i++) {
        CLEANUP(mem_freep)
        char *path = http_path("/users/{}/certificates/{}", cli_word(cli, 0), cli_word(cli, i));

        if (!user_delete_at(cli, path, fault))
            return false;
        cli_say(cli, "%s is removed", cli_word(cli, i));
    }
    return true;
}
