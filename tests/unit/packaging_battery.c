/* packaging/battery/vmmd-battery, on batteries that are files here. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;

static void put(const char *supply, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *folder = str_format("%s/%s", dir, supply);
    CLEANUP(mem_freep) char *path = str_format("%s/%s", folder, name);

    (void)mkdir(folder, 0755);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void battery(const char *supply, const char *status, const char *capacity)
{
    put(supply, "type", "Battery\n");
    put(supply, "status", status);
    put(supply, "capacity", capacity);
}

/* Runs it once; how often it has brought guests down by now. */
static unsigned look(void)
{
    const char *src = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";
    CLEANUP(mem_freep)
    char *command = str_format(
        "VMMD_BATTERY_SYSFS=%s VMMD_BATTERY_MARK=%s.mark VMMD_BATTERY_ACTION='mkdir %s.down' "
        "sh %s/packaging/battery/vmmd-battery >/dev/null 2>&1",
        dir, dir, dir, src);
    CLEANUP(mem_freep) char *down = str_format("%s.down", dir);

    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): it is a script */
    return rmdir(down) == 0;
}

static int setup(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(mem_freep) char *mark = str_format("%s.mark", dir);

    (void)unlink(mark);
    tmp_dir_remove(dir);
    return 0;
}

static void a_host_without_batteries_is_left_alone(void **state)
{
    put("AC", "type", "Mains\n");
    assert_int_equal(look(), 0);
}

static void the_last_percents_bring_the_guests_down_once(void **state)
{
    battery("BAT0", "Discharging\n", "6\n");
    assert_int_equal(look(), 0);
    battery("BAT0", "Discharging\n", "5\n");
    assert_int_equal(look(), 1);
    assert_int_equal(look(), 0);
    battery("BAT0", "Charging\n", "4\n");
    assert_int_equal(look(), 0);
    battery("BAT0", "Discharging\n", "4\n");
    assert_int_equal(look(), 1);
}

static void a_second_battery_or_one_of_a_mouse_or_one_that_does_not_tell_counts(void **state)
{
    battery("BAT0", "Not charging\n", "3\n");
    battery("BAT1", "Discharging\n", "60\n");
    assert_int_equal(look(), 0);
    battery("BAT1", "Discharging\n", "");
    assert_int_equal(look(), 0);
    battery("BAT1", "Discharging\n", "5\n");
    battery("mouse", "Discharging\n", "90\n");
    put("mouse", "scope", "Device\n");
    assert_int_equal(look(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_without_batteries_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_percents_bring_the_guests_down_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_second_battery_or_one_of_a_mouse_or_one_that_does_not_tell_counts, setup, teardown),
    };

    return cmocka_run_group_tests_name("unit/packaging_battery", tests, NULL, NULL);
}
