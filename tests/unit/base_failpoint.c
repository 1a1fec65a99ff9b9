/* Failpoints: the walk of the fault tests stands on them. */
#include "tests/lib/harness.h"

#include "core/base/failpoint.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef VMMD_FAILPOINTS
static bool operation(struct err *err)
{
    return FAILPOINT("one", err) && FAILPOINT("two", err) && FAILPOINT("one", err);
}

static void disarmed_points_let_all_pass_and_are_counted(void **state)
{
    struct err err = {0};

    failpoint_arm(NULL);
    assert_true(operation(&err));
    assert_int_equal(failpoint_passed(), 3);
    assert_int_equal(err.code, ERR_NONE);
}

static void a_named_point_fails_at_its_nth_passage_and_only_then(void **state)
{
    struct err err = {0};

    failpoint_arm("one=fail:2");
    assert_false(operation(&err));
    assert_int_equal(failpoint_passed(), 3);
    assert_non_null(strstr(err.detail, "one"));
    assert_true(operation(&err));
    failpoint_arm("two=fail");
    assert_false(operation(&err));
    assert_int_equal(failpoint_passed(), 2);
}

static void all_points_can_be_walked_by_number(void **state)
{
    static const char *const specs[] = {"#1=fail", "#2=fail", "#3=fail"};
    struct err err = {0};

    for (unsigned i = 0; i < 3; i++) {
        failpoint_arm(specs[i]);
        assert_false(operation(&err));
        assert_int_equal(failpoint_passed(), i + 1);
    }
    failpoint_arm("#4=fail");
    assert_true(operation(&err));
}

static void a_killing_point_ends_the_process(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct err err = {0};
        close(STDERR_FILENO);
        failpoint_arm("two=kill");
        _exit(operation(&err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void a_broken_spec_arms_nothing(void **state)
{
    struct err err = {0};

    failpoint_arm("nonsense");
    assert_true(operation(&err));
    failpoint_arm("");
    assert_true(operation(&err));
}
#else
static void product_builds_have_none(void **state)
{
    struct err err = {0};

    assert_true(FAILPOINT("any", &err));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef VMMD_FAILPOINTS
        cmocka_unit_test(disarmed_points_let_all_pass_and_are_counted),
        cmocka_unit_test(a_named_point_fails_at_its_nth_passage_and_only_then),
        cmocka_unit_test(all_points_can_be_walked_by_number),
        cmocka_unit_test(a_killing_point_ends_the_process),
        cmocka_unit_test(a_broken_spec_arms_nothing),
#else
        cmocka_unit_test(product_builds_have_none),
#endif
    };

    return cmocka_run_group_tests_name("base/failpoint", tests, NULL, NULL);
}
