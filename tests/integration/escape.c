/* A QEMU that was taken over by its guest: a probe in its place tries eighty ways out of the jail
 * and at what it was not given (escape.py), with root's jail and an ordinary user's. QEMU's own
 * filter would be on top. Needs root. */
#include "tests/lib/harness.h"

#include "core/base/json.h"
#include "core/base/str.h"
#include "tests/lib/worker_client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAYS_AT_LEAST 80

/* Has the worker start the probe as if it were QEMU; what it prints is the reason that the launch
 * failed for. Owned by the caller. */
static char *probe(bool rootless)
{
    static const char launch[] = "{\"argv\":[\"/usr/bin/python3\",\"-I\",\"-S\",\"/in/kernel\"],"
                                 "\"fds\":[{\"fd\":3,\"role\":\"qmp\"},{\"input\":\"kernel\","
                                 "\"role\":\"file\",\"index\":0}]}";
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct guest g;
    char *words, *path = str_format("%s/tests/integration/escape.py", getenv("VMMD_SRC"));
    int script = open(path, O_RDONLY | O_CLOEXEC);
    bool failed;

    free(path);
    assert_true(script >= 0);
    guest_init(&g, rootless);
    answer = client_answer(
        &g.c, client_send(&g.c, WORKER_LAUNCH, launch, sizeof launch - 1, &script, 1), &failed);
    assert_true(failed);
    words = str_dup(json_get_text(answer, "detail"));
    close(script);
    guest_expect_clean_end(&g);
    guest_clear(&g);
    return words;
}

static void expect_all_denied(bool rootless)
{
    char *words = probe(rootless), *tried = strstr(words, "tried ");

    if (!tried || !strstr(words, ": all denied"))
        fail_msg("the probe says: %s", words);
    assert_true(atoi(tried + 6) >= WAYS_AT_LEAST);
    free(words);
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
