/* What /proc tells of a process, hostile names included. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/proc.h"

#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void oneself_is_read(void **state)
{
    struct proc_facts facts;

    assert_true(proc_read_self(&facts));
    assert_true(facts.rss_bytes > 100000);
    assert_int_equal(facts.threads, 1);
    assert_true(facts.open_fds >= 3);
    assert_true(facts.start_ticks > 0);
    assert_true(facts.age_ms < 60000);
}

static void a_name_may_hold_anything(void **state)
{
    const char *text = "42 (q) R 9 9) S 1 42 42 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 6 0 777 1 2";
    struct proc_facts facts = {0};

    assert_true(proc_parse_stat(text, &facts));
    assert_int_equal(facts.cpu_ms, 200 * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
    assert_int_equal(facts.threads, 6);
    assert_int_equal(facts.start_ticks, 777);
    assert_false(facts.ended);
}

static void one_that_nobody_has_looked_for_has_ended(void **state)
{
    struct proc_facts facts;
    siginfo_t info;
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    assert_true(pid > 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(proc_read(pid, &facts) && facts.ended && facts.start_ticks);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(proc_read(pid, &facts));
}

static void what_is_cut_is_refused(void **state)
{
    struct proc_facts facts;

    assert_false(proc_parse_stat("", &facts));
    assert_false(proc_parse_stat("42 (q", &facts));
    assert_false(proc_parse_stat("42 (q) S 1 42 42 0 -1 4194304 1 2 3 4 150 50", &facts));
    assert_false(proc_read(0, &facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oneself_is_read),
        cmocka_unit_test(a_name_may_hold_anything),
        cmocka_unit_test(what_is_cut_is_refused),
        cmocka_unit_test(one_that_nobody_has_looked_for_has_ended),
    };

    return cmocka_run_group_tests_name("base/proc", tests, NULL, NULL);
}
