/* A real Linux guest in a real jail, through the API: what a person sees and what a guest does. */
#include "tests/lib/rig.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;
static uint64_t at; /* how far the guest's serial log was read */

static void it_boots_and_answers_on_its_serial_console(void **state)
{
    rig_create_tiny(&rig, "g");
    rig_boot(&rig, "g", &at);
    rig_expect(&rig, "g", &at, "vm# ", 20000);
    rig_type(&rig, "g", "echo $((6 * 7))-answer\n");
    rig_expect(&rig, "g", &at, "42-answer", 20000);
}

static void it_sees_the_disk_and_the_card_it_was_given(void **state)
{
    rig_type(&rig, "g", "cat /sys/block/vda/size; ls /sys/class/net; echo done-$((1+1))\n");
    rig_expect(&rig, "g", &at, "131072", 20000);
    rig_expect(&rig, "g", &at, "eth0", 20000);
    rig_expect(&rig, "g", &at, "done-2", 20000);
}

static void what_it_writes_to_its_disk_is_there_after_a_reset(void **state)
{
    rig_type(
        &rig, "g",
        "printf persist-me | dd of=/dev/vda bs=512 conv=fsync,sync 2>/dev/null; echo w-$((2+2))\n");
    rig_expect(&rig, "g", &at, "w-4", 20000);
    rig_act(&rig, "g", "reset");
    rig_expect(&rig, "g", &at, "VMMD-GUEST READY", 120000);
    rig_expect(&rig, "g", &at, "vm# ", 20000);
    rig_type(&rig, "g", "dd if=/dev/vda bs=512 count=1 2>/dev/null | head -c 10; echo -$((3+3))\n");
    rig_expect(&rig, "g", &at, "persist-me-6", 20000);
}

static void pause_stops_its_output_and_resume_goes_on(void **state)
{
    rig_type(&rig, "g", "while :; do echo tick; usleep 50000; done\n");
    rig_expect(&rig, "g", &at, "tick\r\ntick", 20000);
    rig_act(&rig, "g", "pause");
    rig_await(&rig, "g", "paused", "user", 5000);
    (void)rig_serial_during(&rig, "g", &at, 1); /* what was under way */
    assert_int_equal(rig_serial_during(&rig, "g", &at, 1500), 0);
    rig_act(&rig, "g", "resume");
    rig_expect(&rig, "g", &at, "tick\r\ntick", 20000);
    rig_type(&rig, "g", "\003");
    rig_expect(&rig, "g", &at, "vm# ", 20000);
}

static void its_screen_is_a_picture(void **state)
{
    CLEANUP(mem_freep) char *png = NULL;
    size_t len;

    png = rig_get_bytes(&rig, "/api/v1/vms/g/screenshot", &len);
    assert_true(len > 100);
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
}

static void it_goes_on_while_the_daemon_is_restarted(void **state)
{
    struct rig_pids before = rig_pids(&rig, "g"), after;

    rig_type(&rig, "g", "echo before-$((4+4))\n");
    rig_expect(&rig, "g", &at, "before-8", 20000);
    rig_stop(&rig);
    rig_spawn(&rig);
    rig_await(&rig, "g", "running", NULL, 5000);
    after = rig_pids(&rig, "g");
    assert_int_equal(before.qemu, after.qemu);
    rig_type(&rig, "g", "echo after-$((5+5))\n");
    rig_expect(&rig, "g", &at, "after-10", 20000);
}

static void shutdown_is_clean(void **state)
{
    rig_act(&rig, "g", "shutdown");
    rig_await(&rig, "g", "off", "guest-shutdown", 5000);
}

static void a_reboot_from_inside_stays_running(void **state)
{
    rig_boot(&rig, "g", &at);
    rig_expect(&rig, "g", &at, "vm# ", 20000);
    rig_type(&rig, "g", "reboot -f\n");
    rig_expect(&rig, "g", &at, "VMMD-GUEST READY", 120000);
    rig_await(&rig, "g", "running", NULL, 1000);
}

static void a_power_off_from_inside_is_off_and_not_crashed(void **state)
{
    rig_expect(&rig, "g", &at, "vm# ", 20000);
    rig_type(&rig, "g", "poweroff\n");
    rig_await(&rig, "g", "off", "guest-shutdown", 60000);
}

static void stop_forces_it_off(void **state)
{
    rig_act(&rig, "g", "start"); /* its firmware would not hear of a shutdown */
    rig_act(&rig, "g", "stop");
    rig_await(&rig, "g", "off", NULL, 5000);
    assert_int_equal(rig_pids(&rig, "g").worker, 0);
}

static void too_much_memory_is_refused_with_the_numbers_before_anything_starts(void **state)
{
    int status;
    CLEANUP(json_decrefp) json_t *reply = NULL;

    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"big\",\"memory_bytes\":4398046511104}", 201));
    reply = rig_call(&rig, "POST", "/api/v1/vms/big/actions/start", "{}", &status);
    assert_int_equal(status, 507);
    assert_string_equal(json_get_text(reply, "code"), "no-memory");
    assert_non_null(strstr(json_get_text(reply, "detail"), "MiB are available"));
    rig_await(&rig, "big", "off", NULL, 1000);
    assert_int_equal(rig_pids(&rig, "big").worker, 0);
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
        cmocka_unit_test(it_boots_and_answers_on_its_serial_console),
        cmocka_unit_test(it_sees_the_disk_and_the_card_it_was_given),
        cmocka_unit_test(what_it_writes_to_its_disk_is_there_after_a_reset),
        cmocka_unit_test(pause_stops_its_output_and_resume_goes_on),
        cmocka_unit_test(its_screen_is_a_picture),
        cmocka_unit_test(it_goes_on_while_the_daemon_is_restarted),
        cmocka_unit_test(shutdown_is_clean),
        cmocka_unit_test(a_reboot_from_inside_stays_running),
        cmocka_unit_test(a_power_off_from_inside_is_off_and_not_crashed),
        cmocka_unit_test(stop_forces_it_off),
        cmocka_unit_test(too_much_memory_is_refused_with_the_numbers_before_anything_starts),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/vm: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/vm", tests, setup, teardown);
}
