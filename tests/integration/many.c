/* Forty guests at once: started together, the daemon killed and stopped under them, ended together.
 * Every guest is a counter that says what it wrote, so a lost or doubled one would show. */
#include "tests/lib/counter.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>

#define GUESTS   40
#define START_MS 120000 /* two cores, sanitizers, an emulated processor each */

static struct rig r;
static pid_t qemus[GUESTS];
static uint32_t counted[GUESTS];

static const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof name, "many-%02u", i);
    return name;
}

/* One request for all; what it began is not waited for. */
static void ask_each(const char *verb)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/actions/%s", name_of(i), verb);
        int status;
        json_decref(rig_send(&r, "POST", path, NULL, NULL, &status));
        assert_int_equal(status, 202);
    }
}

static void await_each(const char *state, const char *reason)
{
    for (unsigned i = 0; i < GUESTS; i++)
        rig_await(&r, name_of(i), state, reason, START_MS);
}

static void they_are_the_same_guests_and_go_on(void)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        assert_int_equal(rig_pids(&r, name_of(i)).qemu, qemus[i]);
        counter_has_its_files(&r, qemus[i]);
        counter_await_life(&r, name_of(i), START_MS);
        assert_true(counter_on_disk(&r, name_of(i)) >= counted[i]);
        counted[i] = counter_said(&r, name_of(i));
        assert_true(counter_on_disk(&r, name_of(i)) >= counted[i]);
    }
}

static void forty_start_at_once(void **state)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        CLEANUP(mem_freep) char *spec = counter_spec(name_of(i));
        json_decref(rig_do(&r, "POST", "/api/v1/vms", spec, 201));
    }
    counter_install(&r);
    ask_each("start");
    await_each("running", NULL);
    for (unsigned i = 0; i < GUESTS; i++) {
        qemus[i] = rig_pids(&r, name_of(i)).qemu;
        assert_true(qemus[i] > 0);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(qemus[i], qemus[k]);
    }
    they_are_the_same_guests_and_go_on();
}

static void a_killed_daemon_finds_all_forty_again(void **state)
{
    rig_kill(&r, NULL);
    rig_spawn(&r);
    await_each("running", NULL);
    they_are_the_same_guests_and_go_on();
}

static void a_stopped_daemon_finds_all_forty_again(void **state)
{
    rig_stop(&r);
    rig_spawn(&r);
    await_each("running", NULL);
    they_are_the_same_guests_and_go_on();
}

static void all_forty_are_forced_off_at_once(void **state)
{
    ask_each("stop");
    await_each("off", "user");
    for (unsigned i = 0; i < GUESTS; i++)
        rig_await_dead(qemus[i], START_MS);
}

static int set_up(void **state)
{
    rig_make(&r, 0);
    return 0;
}

static int tear_down(void **state)
{
    rig_remove(&r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forty_start_at_once),
        cmocka_unit_test(a_killed_daemon_finds_all_forty_again),
        cmocka_unit_test(a_stopped_daemon_finds_all_forty_again),
        cmocka_unit_test(all_forty_are_forced_off_at_once),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/many: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
