/* What the machine is made of, read from three hosts that are made of files. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/cpu.h"
#include "core/inspect/inventory.h"
#include "core/inspect/sysfs.h"
#include "tests/lib/fake_root.h"

#include <string.h>

static int root = -1;
static json_t *seen;

static void look_at(const char *host)
{
    root = fake_root_make(host);
    seen = inventory_read(root);
}

static int teardown(void **state)
{
    json_decref(TAKE(seen));
    closep(&root);
    fake_root_remove();
    return 0;
}

/* The element of a list whose 'key' has that text. */
static const json_t *one_of(const char *list, const char *key, const char *text)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(seen, list), i, item)
        if (str_eq(json_get_text(item, key), text))
            return item;
    fail_msg("%s has nothing with %s %s", list, key, text);
    return NULL;
}

static void texts_are(const json_t *object, const char *const (*pairs)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *is = json_get_text(object, pairs[i][0]);
        if (!str_eq(is, pairs[i][1]))
            fail_msg("%s is %s, not %s", pairs[i][0], is ? is : "null",
                     pairs[i][1] ? pairs[i][1] : "null");
    }
}
#define TEXTS(object, ...)                                                                         \
    do {                                                                                           \
        static const char *const pairs_[][2] = {__VA_ARGS__};                                      \
        texts_are(object, pairs_, ARRAY_LEN(pairs_));                                              \
    } while (0)

static void cores_and_sockets_are_counted_and_not_threads_alone(void **state)
{
    const json_t *cpu;

    look_at("desktop");
    cpu = json_object_get(seen, "cpu");
    TEXTS(cpu, {"vendor", "GenuineIntel"}, {"model", "Intel(R) Core(TM) i7-6700 CPU @ 3.40GHz"},
          {"microcode", "0xf0"});
    assert_int_equal(json_get_u64(cpu, "threads", 0), 4);
    assert_int_equal(json_get_u64(cpu, "cores", 0), 2);
    assert_int_equal(json_get_u64(cpu, "sockets", 0), 1);
    assert_int_equal(json_get_u64(cpu, "family", 0), 6);
    assert_int_equal(json_get_u64(cpu, "model_number", 0), 94);
    TEXTS(json_object_get(cpu, "vulnerabilities"), {"meltdown", "Mitigation: PTI"},
          {"tsx_async_abort", "Not affected"});
}

static void the_same_core_number_in_two_sockets_is_two_cores(void **state)
{
    const json_t *cpu;

    look_at("server");
    cpu = json_object_get(seen, "cpu");
    assert_int_equal(json_get_u64(cpu, "threads", 0), 4);
    assert_int_equal(json_get_u64(cpu, "cores", 0), 2);
    assert_int_equal(json_get_u64(cpu, "sockets", 0), 2);
}

static void flags_are_whole_words_of_the_first_processor(void **state)
{
    CLEANUP(mem_freep) struct cpu_facts *cpu = mem_alloc(sizeof *cpu);

    look_at("desktop"); /* "vmx flags" is a line of its own; later processors do not count */
    cpu_read(root, cpu);
    assert_true(cpu->vmx && cpu->slat && cpu->long_mode);
    assert_false(cpu->svm || cpu->hypervisor);
}

static void numa_nodes_come_with_memory_and_distances(void **state)
{
    const json_t *nodes, *second;

    look_at("server");
    nodes = json_object_get(seen, "numa");
    assert_int_equal(json_array_size(nodes), 3);
    second = json_array_get(nodes, 1);
    assert_int_equal(json_get_u64(second, "id", 9), 1);
    assert_string_equal(json_get_text(second, "cpus"), "1,3");
    assert_int_equal(json_get_u64(second, "memory_bytes", 0), 65536000ull * 1024);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(second, "distances"), 0)),
                     32);
    /* a node without memory of its own, and behind node 9 in the order */
    assert_int_equal(json_get_u64(json_array_get(nodes, 2), "id", 0), 10);
    assert_int_equal(json_get_u64(json_array_get(nodes, 2), "memory_bytes", 1), 0);
}

static void pci_devices_have_names_drivers_and_groups(void **state)
{
    const json_t *vga, *wifi;

    look_at("desktop");
    vga = one_of("pci", "address", "0000:00:02.0");
    TEXTS(vga, {"class", "030000"}, {"class_name", "VGA compatible controller"}, {"vendor", "8086"},
          {"device", "1912"}, {"vendor_name", "Intel Corporation"},
          {"device_name", "HD Graphics 530"}, {"driver", "i915"});
    assert_int_equal(json_get_u64(vga, "iommu_group", 99), 1);
    assert_true(json_is_null(json_object_get(vga, "numa_node")));
    assert_true(json_is_null(json_object_get(vga, "sriov")));
    wifi = one_of("pci", "address", "0000:03:00.0");
    TEXTS(wifi, {"device_name", "Wireless 8265 / 8275"}, {"driver", NULL});
    assert_true(json_is_null(json_object_get(wifi, "iommu_group")));
}

static void a_virtual_function_knows_its_parent(void **state)
{
    const json_t *parent;

    look_at("server"); /* no pci.ids there */
    parent = one_of("pci", "address", "0000:41:00.0");
    TEXTS(parent, {"vendor_name", NULL}, {"class_name", "Network controller"});
    assert_int_equal(json_get_u64(parent, "numa_node", 9), 1);
    assert_int_equal(json_get_u64(json_object_get(parent, "sriov"), "total", 0), 8);
    assert_int_equal(json_get_u64(json_object_get(parent, "sriov"), "enabled", 0), 2);
    TEXTS(one_of("pci", "address", "0000:41:00.1"), {"physical_function", "0000:41:00.0"},
          {"driver", "vfio-pci"});
}

static void usb_devices_are_listed_without_hubs_and_interfaces(void **state)
{
    const json_t *stick;

    look_at("desktop");
    assert_int_equal(json_array_size(json_object_get(seen, "usb")), 2);
    TEXTS(one_of("usb", "address", "1-4"), {"port", "4"}, {"class", "input"},
          {"vendor_name", "Logitech"}, {"product_name", "USB Receiver"});
    stick = one_of("usb", "address", "2-1.2"); /* says no name of its own */
    TEXTS(stick, {"vendor", "0781"}, {"product", "5583"}, {"vendor_name", "SanDisk Corp."},
          {"product_name", "Ultra Fit"}, {"class", "storage"}, {"port", "1.2"});
    assert_int_equal(json_integer_value(json_object_get(stick, "bus")), 2);
    assert_true(json_real_value(json_object_get(stick, "speed_mbit")) == 5000);
}

static void interfaces_are_told_apart(void **state)
{
    look_at("desktop");
    assert_int_equal(json_array_size(json_object_get(seen, "nics")), 3); /* not lo */
    TEXTS(one_of("nics", "name", "eno1"), {"kind", "ethernet"}, {"driver", "e1000e"},
          {"pci_address", "0000:00:1f.6"}, {"mac", "00:11:22:33:44:55"}, {"state", "up"});
    TEXTS(one_of("nics", "name", "wlp3s0"), {"kind", "wifi"}, {"driver", "iwlwifi"});
    TEXTS(one_of("nics", "name", "br0"), {"kind", "bridge"}, {"driver", NULL});
    assert_int_equal(json_get_u64(one_of("nics", "name", "eno1"), "speed_mbit", 0), 1000);
}

static void drives_are_listed_without_loops(void **state)
{
    const json_t *drive;

    look_at("desktop");
    assert_int_equal(json_array_size(json_object_get(seen, "drives")), 1);
    drive = one_of("drives", "name", "nvme0n1");
    TEXTS(drive, {"kind", "nvme"}, {"model", "Samsung SSD 970 EVO 500GB"},
          {"write_cache", "write back"});
    assert_int_equal(json_get_u64(drive, "size_bytes", 0), 1000215216ull * 512);
    assert_true(json_get_bool(drive, "discard", false));
    assert_false(json_get_bool(drive, "rotational", true));
}

static void a_bare_guest_has_an_inventory_too(void **state)
{
    const json_t *cpu;

    look_at("guest");
    cpu = json_object_get(seen, "cpu");
    assert_int_equal(json_get_u64(cpu, "cores", 0), 1);
    assert_int_equal(json_get_u64(cpu, "sockets", 0), 1);
    assert_int_equal(json_array_size(json_object_get(seen, "numa")), 0);
    assert_int_equal(json_array_size(json_object_get(seen, "pci")), 0);
    TEXTS(one_of("nics", "name", "eth0"), {"kind", "virtual"}, {"driver", NULL});
}

static void a_hostile_device_cannot_break_the_reply(void **state)
{
    CLEANUP(mem_freep) char *text = NULL;
    const json_t *device;

    root = fake_root_make("guest");
    fake_root_add("[sys/bus/usb/devices/1-1]\nidVendor = 1234\nidProduct = 5678\nbusnum = 1\n"
                  "product = \x1b[2J\xff\xfe gone\nmanufacturer = \xe2\x82\n"
                  "[sys/bus/usb/devices/1-2]\nidVendor = nonsense\nidProduct = 1\nbusnum = 1\n"
                  "[sys/bus/pci/devices/0000:00:01.0]\nvendor = 0x1ffff8086\ndevice = 0x1\n"
                  "class = 99999999999999999999999\n");
    seen = inventory_read(root);
    text = json_write(seen);
    assert_non_null(text);
    assert_null(strchr(text, '\x1b'));
    assert_int_equal(json_array_size(json_object_get(seen, "usb")), 1);
    device = json_array_get(json_object_get(seen, "usb"), 0);
    assert_string_equal(json_get_text(device, "product_name"), "?[2J?? gone");
    assert_int_equal(json_array_size(json_object_get(seen, "pci")), 0);
}

static void links_do_not_lead_out_of_the_root(void **state)
{
    char text[64];

    look_at("guest");
    fake_root_add("[etc]\nup -> ../../../../../../../../etc/passwd\nabsolute -> /proc/modules\n");
    assert_false(sys_text(root, text, sizeof text, "etc/up"));
    assert_true(sys_text(root, text, sizeof text, "etc/absolute"));
    assert_true(str_starts(text, "virtio_net"));
}

static void this_very_host_can_be_read(void **state)
{
    fake_root_make("guest");
    root = sys_root();
    seen = inventory_read(root);
    assert_true(json_get_u64(json_object_get(seen, "cpu"), "threads", 0) >= 1);
}

#define STORY(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(cores_and_sockets_are_counted_and_not_threads_alone),
        STORY(the_same_core_number_in_two_sockets_is_two_cores),
        STORY(flags_are_whole_words_of_the_first_processor),
        STORY(numa_nodes_come_with_memory_and_distances),
        STORY(pci_devices_have_names_drivers_and_groups),
        STORY(a_virtual_function_knows_its_parent),
        STORY(usb_devices_are_listed_without_hubs_and_interfaces),
        STORY(interfaces_are_told_apart),
        STORY(drives_are_listed_without_loops),
        STORY(a_bare_guest_has_an_inventory_too),
        STORY(a_hostile_device_cannot_break_the_reply),
        STORY(links_do_not_lead_out_of_the_root),
        STORY(this_very_host_can_be_read),
    };

    return cmocka_run_group_tests_name("inspect/inventory", tests, NULL, NULL);
}
