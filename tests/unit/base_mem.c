/* Memory and scope-bound ownership. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fresh_memory_is_zeroed(void **state)
{
    CLEANUP(mem_freep) unsigned char *a = mem_alloc(4096);
    CLEANUP(mem_freep) uint64_t *b = mem_array(512, sizeof *b);

    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(a[i], 0);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(b[i], 0);
}

static void nothing_asked_is_still_an_object(void **state)
{
    CLEANUP(mem_freep) char *a = mem_alloc(0), *b = mem_array(0, 8), *c = mem_dup("", 0);

    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
}

static void a_size_that_overflows_aborts_and_is_not_made_small(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        volatile size_t huge = SIZE_MAX / 2;
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        free(mem_resize(NULL, huge, 8));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void taking_leaves_nothing_behind(void **state)
{
    CLEANUP(mem_freep) char *kept = mem_dup("text", 5);
    char *taken = TAKE(kept);
    int fd = 7;

    assert_null(kept);
    assert_string_equal(taken, "text");
    free(taken);
    assert_int_equal(TAKE_FD(fd), 7);
    assert_int_equal(fd, -1);
}

static void a_freed_pointer_is_null(void **state)
{
    char *p = mem_dup("secret", 7);

    mem_freep(&p);
    assert_null(p);
    mem_freep(&p);
    mem_free_secret(NULL, 7);
    mem_free_secret(mem_dup("secret", 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_memory_is_zeroed),
        cmocka_unit_test(nothing_asked_is_still_an_object),
        cmocka_unit_test(a_size_that_overflows_aborts_and_is_not_made_small),
        cmocka_unit_test(taking_leaves_nothing_behind),
        cmocka_unit_test(a_freed_pointer_is_null),
    };

    return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
