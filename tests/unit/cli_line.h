/* Runs whole lines of vmmctl against a scripted service and keeps what they print. */
#pragma once
#include "tests/unit/cli_service.h"

#include "cli/cli.h"
#include "cli/interrupt.h"

#include <fcntl.h>

static char *dir, *socket_path;
static char *out, *err_text; /* of the last line */
static int input = -1;       /* standard input of the next line */

/* Words are separated by |. Returns the exit code. */
static int run(const char *line, const struct step *steps, unsigned n)
{
    CLEANUP(mem_freep) char *copy = str_format("--socket|%s|%s", socket_path, line);
    char *argv[24] = {"vmmctl"}, *rest = copy, *word;
    size_t out_len, err_len;
    FILE *o, *e;
    int argc = 1, code;

    free(out);
    free(err_text);
    o = open_memstream(&out, &out_len);
    e = open_memstream(&err_text, &err_len);
    while ((word = strsep(&rest, "|")))
        argv[argc++] = word;
    service_start(socket_path, steps, n);
    interrupt_init();
    interrupt_clear();
    code = cli_main(argc, argv, o, e, input);
    fclose(o);
    fclose(e);
    service_end();
    return code;
}

#define RUN(line, steps) run(line, steps, ARRAY_LEN(steps))

static int set_up(void **state)
{
    dir = tmp_dir_make();
    socket_path = str_format("%s/api.sock", dir);
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("VMMD_CONFIG");
    unsetenv("VMMD_URL");
    unsetenv("VMMD_TOKEN_FILE");
    setenv("VMMD_TOKEN", "vmmd_1_secret", 1);
    input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

static int tear_down(void **state)
{
    close(input);
    free(socket_path);
    tmp_dir_remove(dir);
    mem_freep(&out);
    mem_freep(&err_text);
    return 0;
}

#define OP(state, step, rest)                                                                      \
    "{\"id\":\"op-1\",\"kind\":\"vm.start\",\"object\":{\"type\":\"vm\",\"id\":\"id-1\","          \
    "\"name\":\"web\"},\"state\":\"" state "\",\"step\":\"" step "\","                             \
    "\"progress\":{\"done\":0,\"total\":0}" rest "}"
#define VM(name, state)                                                                            \
    "{\"id\":\"id-1\",\"name\":\"" name "\",\"state\":\"" state "\",\"run\":{\"state\":\"" state   \
    "\"},\"vcpus\":1,\"memory_bytes\":536870912,\"disks\":[{\"size_bytes\":1073741824}],"          \
    "\"created_at\":\"2026-11-21T01:02:03.456Z\"}"
