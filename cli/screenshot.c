/* vmmctl screenshot VM: a PNG into a file. */
#include "cli/picture.h"

#include "core/base/fs.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool screenshot_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct flag flags[] = {
    {"file", 'f', "FILE", "where to (default VM.png; - for standard output)"},
    {"head", 0, "N", "display of the graphics card, from 0 on (default 0)"},
    {0},
};

const struct command screenshot_commands[] = {
    {NULL, "VM", 1, 1, 0, flags, "save a picture of a VM's screen as PNG", NULL,
     "  vmmctl screenshot web -f /tmp/web.png", screenshot_run, false},
    {0},
};

static bool save(const char *path, const struct strbuf *png, struct fault *fault)
{
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    struct err err;

    if (fd < 0)
        return fault_set(fault, CLI_FAILED, "%.200s: %s", path, strerror(errno));
    return fs_write_all(fd, png->data, png->len, &err) || fault_err(fault, CLI_FAILED, &err);
}

/* "NAME.png" in the working directory: whatever the VM is called, never elsewhere. */
static char *default_file(const char *vm)
{
    char *name = str_format("%s.png", vm);

    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
    return name;
}

bool picture_fetch(struct cli *cli, const char *path, const char *name, struct fault *fault)
{
    const char *file = args_text(cli->args, "file");
    CLEANUP(mem_freep) char *chosen = file ? str_dup(file) : default_file(name);
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "GET", .path = path};

    if (str_eq(file, "-") && cli->out_tty)
        return fault_set(fault, CLI_USAGE, "a picture does not belong on a terminal; redirect it");
    if (!http_call(cli->http, &request, &reply, fault))
        return false;
    if (reply.body.len < 8 || memcmp(reply.body.data, "\x89PNG", 4) != 0)
        return fault_set(fault, CLI_FAILED, "the reply is no PNG; is this vmmd?");
    if (str_eq(file, "-"))
        return fwrite(reply.body.data, 1, reply.body.len, cli->out) == reply.body.len ||
               fault_set(fault, CLI_FAILED, "writing the output: %s", strerror(errno));
    if (!save(chosen, &reply.body, fault))
        return false;
    cli_say(cli, "saved %s", chosen);
    return true;
}

static bool screenshot_run(struct cli *cli, struct fault *fault)
{
    const char *head = args_text(cli->args, "head");
    CLEANUP(mem_freep)
    char *path = head ? http_path("/vms/{}/screenshot?head={}", cli_word(cli, 0), head)
                      : http_path("/vms/{}/screenshot", cli_word(cli, 0));

    return picture_fetch(cli, path, cli_word(cli, 0), fault);
}
