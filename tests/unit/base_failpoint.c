/* Failpoints: the walk of the fault tests stands on them. */
#include "tests/lib/harness.h"

#include "core/base/failpoint.h"
#include "tests/lib/points.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

static void one_may_fail_as_a_full_disk_does(void **state)
{
    struct err err = {0};

    failpoint_arm("two=full");
    assert_false(operation(&err));
    assert_int_equal(err.code, ERR_NO_SPACE);
    failpoint_arm(NULL);
}

static void one_that_breaks_fails_from_then_on(void **state)
{
    struct err err = {0};

    failpoint_arm("one=break:3");
    assert_true(operation(&err)); /* passes it twice */
    assert_false(operation(&err));
    assert_false(operation(&err));
    failpoint_arm(NULL);
    assert_true(operation(&err));
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
/* ---- a walker in another process ---- */

static char *dir;

static int open_walker(void **state)
{
    char path[128];

    dir = tmp_dir_make();
    snprintf(path, sizeof path, "%s/s", dir);
    points_open(path);
    failpoint_arm(NULL);
    return 0;
}

static int close_walker(void **state)
{
    points_close();
    tmp_dir_remove(dir);
    return 0;
}

static void a_walker_sees_every_passage_and_counts_them_by_name(void **state)
{
    struct point *list;
    struct err err = {0};

    points_record();
    assert_true(operation(&err));
    assert_int_equal(points_passed(&list), 3);
    assert_string_equal(list[1].name, "two");
    assert_string_equal(list[2].name, "one");
    assert_int_equal(list[2].nth, 2);
    free(list);
}

static void a_walker_lets_one_passage_fail(void **state)
{
    const struct point second = {"one", 2};
    struct err err = {0};

    points_arm(&second, true);
    assert_false(operation(&err));
    assert_non_null(strstr(err.detail, "failpoint one"));
    assert_true(points_reached(0));
    assert_true(operation(&err)); /* once only */
}

static void a_held_process_goes_on_when_it_is_released(void **state)
{
    const struct point two = {"two", 1};
    struct err err = {0};
    pid_t child;
    int status;

    points_arm(&two, false);
    child = fork();
    if (child == 0)
        _exit(operation(&err) ? 0 : 1);
    assert_true(points_reached(10000));
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    points_release();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void without_a_walker_all_pass(void **state)
{
    struct err err = {0};

    points_close();
    setenv("VMMD_FAILPOINT_SOCKET", "/nonexistent/socket", 1);
    assert_true(operation(&err));
    unsetenv("VMMD_FAILPOINT_SOCKET");
    tmp_dir_remove(dir);
}

static void an_effect_can_fail_before_it_and_after_it(void **state)
{
    struct err err = {0};
    int done = 0;

    failpoint_arm("x=fail");
    assert_false(FAILPOINT_AROUND("x", ++done, &err));
    assert_int_equal(done, 0);
    failpoint_arm("x.done=fail");
    assert_false(FAILPOINT_AROUND("x", ++done, &err));
    assert_int_equal(done, 1);
    failpoint_arm(NULL);
    assert_true(FAILPOINT_AROUND("x", ++done, &err));
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
        cmocka_unit_test(one_may_fail_as_a_full_disk_does),
        cmocka_unit_test(one_that_breaks_fails_from_then_on),
        cmocka_unit_test(all_points_can_be_walked_by_number),
        cmocka_unit_test(a_killing_point_ends_the_process),
        cmocka_unit_test(a_broken_spec_arms_nothing),
        cmocka_unit_test(an_effect_can_fail_before_it_and_after_it),
        cmocka_unit_test_setup_teardown(a_walker_sees_every_passage_and_counts_them_by_name,
                                        open_walker, close_walker),
        cmocka_unit_test_setup_teardown(a_walker_lets_one_passage_fail, open_walker, close_walker),
        cmocka_unit_test_setup_teardown(a_held_process_goes_on_when_it_is_released, open_walker,
                                        close_walker),
        cmocka_unit_test_setup(without_a_walker_all_pass, open_walker),
#else
        cmocka_unit_test(product_builds_have_none),
#endif
    };

    return cmocka_run_group_tests_name("base/failpoint", tests, NULL, NULL);
}
