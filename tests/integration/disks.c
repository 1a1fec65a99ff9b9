/* Disks of a running VM with a real guest: it is given one, writes to it, sees it grow, and lets it
 * go; on every bus that takes disks while it runs. The stories have one guest, since a boot takes
 * long without KVM; each leaves it running. */
#include "tests/lib/rig.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

#define VM      "/api/v1/vms/web"
#define DISKS   VM "/disks"
#define SOON_MS 60000

static struct rig rig;
static uint64_t seen; /* of the serial log */

/* The command's words are written so that its echo is not what is waited for. */
static void guest(const char *command, const char *answer)
{
    rig_type(&rig, "web", command);
    rig_type(&rig, "web", "\n");
    rig_expect(&rig, "web", &seen, answer, SOON_MS);
}

static void guest_await(const char *condition)
{
    CLEANUP(mem_freep)
    char *command = str_format("until %s; do sleep 1; done; echo it-'is'-so", condition);

    guest(command, "it-is-so");
}

/* The id of the new disk; owned. */
static char *add(const char *bus, const char *format)
{
    CLEANUP(mem_freep)
    char *body =
        str_format("{\"size_bytes\":33554432,\"bus\":\"%s\",\"format\":\"%s\"}", bus, format);
    CLEANUP(json_decrefp) json_t *op = rig_do(&rig, "POST", DISKS, body, 200);

    return str_dup(json_get_text(json_object_get(op, "result"), "disk"));
}

static void grow(const char *disk, uint64_t size_bytes)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/disks/%s/actions/grow", disk);
    CLEANUP(mem_freep)
    char *body = str_format("{\"size_bytes\":%llu}", (unsigned long long)size_bytes);

    json_decref(rig_do(&rig, "POST", path, body, 200));
}

static void drop(const char *disk)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/disks/%s", disk);

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
}

static void limit(const char *disk, const char *limits)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/disks/%s", disk);
    CLEANUP(mem_freep) char *body = str_format("{\"limits\":%s}", limits);
    CLEANUP(json_decrefp) json_t *shown = rig_do(&rig, "PATCH", path, body, 200);
    CLEANUP(json_decrefp) json_t *vm = rig_do(&rig, "GET", VM, NULL, 200);

    if (json_get_text(vm, "pending_reason"))
        fail_msg("%s", json_get_text(vm, "pending_reason"));
}

static unsigned disks(void)
{
    CLEANUP(json_decrefp) json_t *list = rig_do(&rig, "GET", DISKS, NULL, 200);

    return (unsigned)json_array_size(json_object_get(list, "items"));
}

static int setup(void **state)
{
    rig_make(&rig, 0);
    rig_create_tiny(&rig, "web");
    rig_boot(&rig, "web", &seen);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void a_disk_is_added_written_grown_and_removed(void **state)
{
    const unsigned before = disks();
    CLEANUP(mem_freep) char *disk = add("virtio", "qcow2");

    assert_int_equal(disks(), before + 1);
    guest_await("d=$(grep -lx 65536 /sys/block/vd*/size)");
    guest("d=/dev/$(basename $(dirname $d)); echo on-'it' $d", "on-it /dev/vd");
    guest("dd if=/dev/urandom of=/root/a bs=64k count=16 2>/dev/null; dd if=/root/a of=$d bs=64k "
          "conv=fsync 2>/dev/null; dd if=$d bs=64k count=16 2>/dev/null | cmp - /root/a && echo "
          "the-'same'",
          "the-same");
    limit(disk, "{\"iops\":200,\"iops_burst\":400,\"burst_s\":2,\"bytes_per_s\":10485760}");
    grow(disk, 67108864);
    guest_await("[ $(cat /sys/block/${d#/dev/}/size) = 131072 ]");
    guest("dd if=/root/a of=$d bs=64k seek=1000 conv=fsync 2>/dev/null; dd if=$d bs=64k count=16 "
          "skip=1000 2>/dev/null | cmp - /root/a && echo grown-'and'-written",
          "grown-and-written");
    limit(disk, "null");
    drop(disk);
    guest_await("[ ! -e /sys/block/${d#/dev/} ]");
    assert_int_equal(disks(), before);
}

static void every_bus_takes_disks_while_it_runs(void **state)
{
    static const char *const buses[] = {"virtio", "scsi", "usb", "nvme"};
    static const char *const formats[] = {"raw", "vhd", "vhdx", "qcow2"};
    const unsigned before = disks();
    CLEANUP(json_decrefp) json_t *snapshot = NULL;
    char *ids[4];

    for (unsigned i = 0; i < 4; i++) {
        ids[i] = add(buses[i], formats[i]);
        limit(ids[i], "{\"bytes_per_s\":10485760}");
    }
    assert_int_equal(disks(), before + 4);
    guest("modprobe -a virtio_scsi sd_mod; echo load'ed'", "loaded");
    guest_await("grep -lx 65536 /sys/block/sd*/size");
    snapshot = rig_do(&rig, "POST", VM "/snapshots", "{\"name\":\"all\"}", 200);
    for (unsigned i = 0; i < 4; i++) {
        limit(ids[i], "{\"bytes_per_s\":20971520}"); /* it is on the device, whatever lies below */
        drop(ids[i]);
        free(ids[i]);
    }
    assert_int_equal(disks(), before);
    rig_act(&rig, "web", "stop");
    json_decref(rig_do(&rig, "POST", VM "/actions/revert", "{\"snapshot\":\"all\"}", 200));
    assert_int_equal(disks(), before + 4);
    rig_boot(&rig, "web", &seen); /* with all of them from the beginning */
}

static void a_disk_grows_while_the_vm_is_off(void **state)
{
    CLEANUP(mem_freep) char *disk = NULL;

    rig_act(&rig, "web", "stop");
    disk = add("virtio", "raw");
    grow(disk, 50331648);
    grow(disk, 100663296);
    rig_boot(&rig, "web", &seen);
    guest_await("grep -lx 196608 /sys/block/vd*/size");
    rig_stop(&rig);
    rig_spawn(&rig);
    drop(disk); /* by a daemon that did not start the machine */
    guest_await("! grep -lx 196608 /sys/block/vd*/size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_is_added_written_grown_and_removed),
        cmocka_unit_test(every_bus_takes_disks_while_it_runs),
        cmocka_unit_test(a_disk_grows_while_the_vm_is_off),
    };
    const char *why;

    if (rig_possible(&why))
        return cmocka_run_group_tests_name("integration/disks", tests, setup, teardown);
    print_message("[  SKIPPED ] integration/disks: %s\n", why);
    return 0;
}
