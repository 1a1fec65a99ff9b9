/* What a person at the keyboard does to a real guest, and what becomes of VMs made from templates,
 * of many at once and of one that cannot start. The guest has a shell on its screen (tty1); what it
 * is typed there comes back on the serial console. */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

static struct rig rig;
static uint64_t at; /* how far the guest's serial log was read */

#define TINY                                                                                       \
    "\"memory_bytes\":201326592,\"boot\":{\"kernel\":\"tiny\",\"cmdline\":\"" RIG_CMDLINE "\"}"

static void act(const char *verb, const char *body)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/g/actions/%s", verb);
    int status;
    CLEANUP(json_decrefp) json_t *reply = rig_call(&rig, "POST", path, body, &status);

    if (status != 204)
        fail_msg("%s: %d %s", verb, status, reply ? json_get_text(reply, "detail") : "");
}

/* The screen's terminal gets its shell at its own time, and drops what was typed before. */
static void await_shell(void)
{
    int64_t deadline = clock_mono_ms() + 60000;

    do {
        assert_true(clock_left_ms(deadline) > 0);
        act("type", "{\"text\":\"\\necho shell-$((1+1)) >/dev/ttyS0\\n\"}");
    } while (!rig_hears(&rig, "g", &at, "shell-2", 3000));
}

static void a_vm_from_a_template_runs_when_it_is_made(void **state)
{
    CLEANUP(json_decrefp) json_t *vm = NULL;

    json_decref(rig_do(&rig, "POST", "/api/v1/templates",
                       "{\"name\":\"tiny\",\"spec\":{" TINY ",\"video\":{\"model\":\"std\"}}}",
                       201));
    vm = rig_do(&rig, "POST", "/api/v1/vms",
                "{\"name\":\"g\",\"template\":\"tiny\",\"start\":true}", 201);
    assert_string_equal(json_get_text(json_object_get(vm, "run"), "state"), "running");
    rig_expect(&rig, "g", &at, "VMMD-GUEST READY", 120000);
    rig_expect(&rig, "g", &at, "vm# ", 20000);
    await_shell();
}

static void a_text_that_is_typed_arrives_as_it_is(void **state)
{
    act("type", "{\"text\":\"echo '~!@#$%^&*()_+{}|:<>?-=[];,./ AzQy09' >/dev/ttyS0\\n\"}");
    rig_expect(&rig, "g", &at, "~!@#$%^&*()_+{}|:<>?-=[];,./ AzQy09", 30000);
}

static void keys_that_are_held_together_mean_one_thing(void **state)
{
    /* a key that comes before cat reads could end in the shell's fork, which drops it */
    act("type", "{\"text\":\"cat >/dev/ttyS0\\npurr\\n\"}");
    rig_expect(&rig, "g", &at, "purr", 30000);
    act("send-key", "{\"keys\":[\"ctrl\",\"c\"]}"); /* back to the shell */
    act("type", "{\"text\":\"echo back-$((3+4)) >/dev/ttyS0\\n\"}");
    rig_expect(&rig, "g", &at, "back-7", 30000);
}

static void an_nmi_reaches_the_kernel(void **state)
{
    act("nmi", "{}");
    rig_type(&rig, "g", "dmesg | grep -c NMI.received; echo nmi-$((5+6))\n");
    rig_expect(&rig, "g", &at, "\r\n1\r\n", 20000);
    rig_expect(&rig, "g", &at, "nmi-11", 20000);
}

static void ctrl_alt_delete_reboots(void **state)
{
    act("send-key", "{\"keys\":[\"ctrl\",\"alt\",\"delete\"]}");
    rig_expect(&rig, "g", &at, "VMMD-GUEST READY", 120000);
    rig_await(&rig, "g", "running", NULL, 1000);
}

static void all_go_down_with_one_request(void **state)
{
    CLEANUP(json_decrefp) json_t *done = NULL;
    const json_t *one;

    json_decref(rig_do(&rig, "POST", "/api/v1/vms", "{\"name\":\"h\",\"copy_of\":\"g\"}", 201));
    done = rig_do(&rig, "POST", "/api/v1/vms/actions/stop",
                  "{\"filter\":\"state==running,name==g\"}", 200);
    assert_int_equal(json_array_size(json_object_get(done, "items")), 1);
    one = json_array_get(json_object_get(done, "items"), 0);
    assert_string_equal(json_get_text(json_object_get(one, "operation"), "state"), "succeeded");
    rig_await(&rig, "g", "off", NULL, 1000);
}

static void why_one_does_not_start_is_in_its_log(void **state)
{
    CLEANUP(json_decrefp) json_t *reply = NULL;
    CLEANUP(mem_freep) char *log = NULL, *state_now = NULL;
    const char *detail;
    int status;
    size_t len;

    reply = rig_call(&rig, "POST", "/api/v1/vms",
                     "{\"name\":\"bad\",\"template\":\"tiny\",\"start\":true,"
                     "\"cpu\":{\"model\":\"no-such-cpu\"}}",
                     &status);
    assert_int_equal(status, 502);
    detail = json_get_text(reply, "detail");
    assert_true(str_starts(detail, "the VM was created, but does not run"));
    state_now = rig_text(&rig, "bad", "run.state");
    assert_string_equal(state_now, "off");
    log = rig_get_bytes(&rig, "/api/v1/vms/bad/log", &len);
    if (!strstr(log, "no-such-cpu"))
        fail_msg("the log says only: %s", log);
}

static int setup(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_from_a_template_runs_when_it_is_made),
        cmocka_unit_test(a_text_that_is_typed_arrives_as_it_is),
        cmocka_unit_test(keys_that_are_held_together_mean_one_thing),
        cmocka_unit_test(an_nmi_reaches_the_kernel),
        cmocka_unit_test(ctrl_alt_delete_reboots),
        cmocka_unit_test(all_go_down_with_one_request),
        cmocka_unit_test(why_one_does_not_start_is_in_its_log),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/input: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/input", tests, setup, teardown);
}
