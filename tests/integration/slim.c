/* A whole Debian on a disk of its own: BIOS, GRUB, kernel, systemd. Its image takes minutes to make
 * and its boot takes long without KVM, so this runs only where tools/guest/build-slim was run. */
#include "tests/lib/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BOOT_MS 240000
#define WORD_MS 60000

static struct rig rig;
static uint64_t at;

static bool have_image(char *path, size_t size)
{
    const char *cache = getenv("VMMD_GUEST_DIR");

    snprintf(path, size, "%s/slim.qcow2", cache ? cache : "/var/cache/vmmd/guest");
    return access(path, R_OK) == 0;
}

static void it_boots_from_its_disk(void **state)
{
    char image[256];

    assert_true(have_image(image, sizeof image));
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"slim\",\"memory_bytes\":402653184,\"shutdown_timeout_s\":120,"
                       "\"disks\":[{\"size_bytes\":1258291200,\"pool\":\"main\"}]}",
                       201));
    rig_fill_disk(&rig, "qcow2", image);
    rig_act(&rig, "slim", "start");
    rig_expect(&rig, "slim", &at, "root@slim:", BOOT_MS);
    rig_type(&rig, "slim", "echo $(cat /proc/1/comm)-$((1+1)); touch /root/kept; sync\n");
    rig_expect(&rig, "slim", &at, "systemd-2", WORD_MS);
}

static void it_obeys_the_power_button(void **state)
{
    int status;

    json_decref(rig_send(&rig, "POST", "/api/v1/vms/slim/actions/shutdown", "{}", NULL, &status));
    assert_int_equal(status, 202);
    rig_await(&rig, "slim", "off", "guest-shutdown", 120000);
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
        cmocka_unit_test(it_boots_from_its_disk),
        cmocka_unit_test(it_obeys_the_power_button),
    };
    char image[256];
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/slim: %s\n", why);
        return 0;
    }
    if (!have_image(image, sizeof image)) {
        print_message("[  SKIPPED ] integration/slim: not built: run tools/guest/build-slim\n");
        return 0;
    }
    return cmocka_run_group_tests_name("integration/slim", tests, setup, teardown);
}
