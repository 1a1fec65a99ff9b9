/* A QEMU that was taken over by its guest: a probe in its place tries nearly ninety ways out of the
 * jail and at what it was not given (escape.py), with root's jail and an ordinary user's. What this
 * host has not, and so proves nothing, is counted apart; an error that is no refusal fails the
 * test. QEMU's own filter would be on top. Needs root. */
#include "tests/lib/harness.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/worker_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAYS_AT_LEAST 80 /* denied; some kernels do not have all of them */

/* What a program wrote to the log that QEMU would have; the caller's. */
static char *read_log(int fd)
{
    char *text = mem_alloc(16384);
    ssize_t n = pread(fd, text, 16383, 0);

    assert_true(n > 0);
    text[n] = 0;
    return text;
}

/* Something of the host's to reach: a socket at 'path', or an abstract one (NULL). */
static int listen_at(const char *path)
{
    static const char name[] = "\0@escape-probe";
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : sizeof name - 1;
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(len < sizeof at.sun_path);
    memcpy(at.sun_path, path ? path : name, len);
    assert_int_equal(bind(sock, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(listen(sock, 1), 0);
    return sock;
}

struct tally {
    unsigned denied, not_here, tried;
};

/* A path that is not in the jail proves something only when the host has it. */
static bool is_on_the_host(const char *line)
{
    const char *path = strstr(line, ": ");

    return path && access(path + 2, F_OK) == 0;
}

static void count(struct tally *t, const char *line)
{
    if (str_starts(line, "denied ") || (str_starts(line, "hidden ") && is_on_the_host(line))) {
        t->denied++;
    } else if (str_starts(line, "not-here ") || str_starts(line, "hidden ")) {
        t->not_here++;
        print_message("this host cannot tell: %s\n", line);
    } else if (sscanf(line, "tried %u", &t->tried) != 1) {
        fail_msg("the probe says: %s", line); /* possible, or it proves nothing */
    }
}

/* What a program wrote to the log that QEMU would have. */
static struct tally count_log(int fd)
{
    CLEANUP(mem_freep) char *words = read_log(fd);
    struct tally t = {0};
    char *save = NULL;

    for (char *line = strtok_r(words, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        count(&t, line);
    return t;
}

/* Has the worker start the probe as if it were QEMU. */
static struct tally probe(bool rootless)
{
    static const char launch[] =
        "{\"argv\":[\"/usr/bin/python3\",\"-I\",\"-S\",\"/in/kernel\",\"%s\"],"
        "\"fds\":[{\"fd\":3,\"role\":\"qmp\"},{\"input\":\"kernel\","
        "\"role\":\"file\",\"index\":0}],\"logs\":{\"qemu\":1}}";
    struct tally tally;
    struct guest g;
    char *path = str_format("%s/tests/integration/escape.py", getenv("VMMD_SRC")), *text;
    int fds[2] = {open(path, O_RDONLY | O_CLOEXEC)}, abstract = listen_at(NULL), named;
    bool failed;

    free(path);
    assert_true(fds[0] >= 0);
    guest_init(&g, rootless);
    fds[1] = g.qemu_log;
    path = spawn_path(&g.s, "host.sock");
    named = listen_at(path);
    text = str_format(launch, path);
    json_decref(
        client_answer(&g.c, client_send(&g.c, WORKER_LAUNCH, text, strlen(text), fds, 2), &failed));
    assert_true(failed);
    guest_expect_clean_end(&g);
    tally = count_log(g.qemu_log);
    close(fds[0]);
    close(abstract);
    close(named);
    free(path);
    free(text);
    guest_clear(&g);
    return tally;
}

static void expect_all_denied(bool rootless)
{
    struct tally t = probe(rootless);

    print_message("%u denied, %u not possible here\n", t.denied, t.not_here);
    assert_int_equal(t.denied + t.not_here, t.tried);
    assert_true(t.denied >= WAYS_AT_LEAST);
}

static void there_is_no_way_out_of_the_jail(void **state)
{
    expect_all_denied(false);
}

static void there_is_none_out_of_an_ordinary_users_either(void **state)
{
    expect_all_denied(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_no_way_out_of_the_jail),
        cmocka_unit_test(there_is_none_out_of_an_ordinary_users_either),
    };

    if (geteuid() != 0) {
        print_message("[  SKIPPED ] integration/escape: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests_name("integration/escape", tests, NULL, NULL);
}
