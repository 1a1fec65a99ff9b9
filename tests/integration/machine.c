/* What QEMU is told, seen from inside: a guest that UEFI boots, with two serial ports and room for
 * a second processor; one with CD drives, a keyboard and a watchdog; one of 32 bits. The stories
 * build on each other, since a boot takes long without KVM. What needs no system is only started.
 */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR  2048
#define BOOT_MS 150000
#define WORD_MS 40000

#define BY_KERNEL "\"boot\":{\"kernel\":\"tiny\",\"cmdline\":\"" RIG_CMDLINE "\"}"
#define ON_DISK                                                                                    \
    "\"disks\":[{\"size_bytes\":67108864,\"format\":\"raw\",\"bus\":\"virtio\",\"pool\":\"main\"}" \
    "]"

static struct rig rig;
static uint64_t at; /* how far the guest's serial log was read */

/* A medium is bytes to vmmd: what the guest reads from the drive is what lies here. */
static void put_bytes(const char *name, const void *bytes, size_t len)
{
    CLEANUP(mem_freep) char *path = str_format("%s/main/media/%s", rig.dir, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    struct err err = {0};

    if (fd < 0)
        fail_msg("%s cannot be made", path);
    assert_true(fs_write_all(fd, bytes, len, &err));
}

static void put_medium(const char *name, const char *text)
{
    char sectors[16 * SECTOR] = {0};

    snprintf(sectors, sizeof sectors, "%s", text);
    put_bytes(name, sectors, sizeof sectors);
}

static void run_on(const char *vm, const char *line, const char *answer)
{
    rig_type(&rig, vm, line);
    rig_expect(&rig, vm, &at, answer, WORD_MS);
}

static void run(const char *line, const char *answer)
{
    run_on("m", line, answer);
}

static void boot(const char *vm)
{
    rig_act(&rig, vm, "start");
    rig_expect(&rig, vm, &at, "VMMD-GUEST READY", BOOT_MS);
    rig_expect(&rig, vm, &at, "vm# ", WORD_MS);
}

/* ---- a giant ---- */

/* A host may have been told never to promise more than it has. */
static bool host_promises(void)
{
    CLEANUP(closep) int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    char mode = '0';

    return fd >= 0 && read(fd, &mode, 1) == 1 && mode != '2';
}

static void a_giant_needs_leave_to_promise_what_is_not_there(void **state)
{
    int status;
    CLEANUP(json_decrefp) json_t *refusal = NULL;

    json_decref(
        rig_do(&rig, "POST", "/api/v1/vms",
               "{\"name\":\"giant\",\"vcpus\":32,\"memory_bytes\":549755813888,\"nics\":[]}", 201));
    refusal = rig_call(&rig, "POST", "/api/v1/vms/giant/actions/start", "{}", &status);
    assert_int_equal(status, 507);
    assert_non_null(strstr(json_get_text(refusal, "detail"), "memory_overcommit"));
    if (!host_promises()) {
        print_message("vm.overcommit_memory is 2: this host promises no memory it has not\n");
        skip();
    }
    json_decref(rig_do(&rig, "PATCH", "/api/v1/vms/giant", "{\"memory_overcommit\":true}", 200));
    rig_act(&rig, "giant", "start");
    rig_await(&rig, "giant", "running", NULL, 10000);
    rig_act(&rig, "giant", "stop");
}

static void an_unknown_processor_is_named_in_the_refusal(void **state)
{
    int status;
    CLEANUP(json_decrefp) json_t *refusal = NULL;

    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"odd\",\"nics\":[],\"cpu\":{\"model\":\"Pentium-9\"}}", 201));
    refusal = rig_call(&rig, "POST", "/api/v1/vms/odd/actions/start", "{}", &status);
    assert_true(status >= 400);
    assert_non_null(strstr(json_get_text(refusal, "detail"), "Pentium-9"));
}

/* ---- firmware ---- */

static bool have_uefi(void)
{
    return access("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", R_OK) == 0;
}

static void needs_uefi(void)
{
    if (!have_uefi()) {
        print_message("UEFI's firmware is not installed: Debian has it in the package ovmf\n");
        skip();
    }
}

static void firmware_with_secure_boot_starts(void **state)
{
    needs_uefi();
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"sb\",\"profile\":\"windows-11\",\"nics\":[],\"vcpus\":1,"
                       "\"memory_bytes\":268435456}",
                       201));
    rig_act(&rig, "sb", "start");
    rig_await(&rig, "sb", "running", NULL, 10000);
    rig_act(&rig, "sb", "stop");
}

/* The image that holds the guest as a file which UEFI starts; false when it was not built. */
static bool have_image(char *path, size_t size)
{
    const char *cache = getenv("VMMD_GUEST_DIR");

    snprintf(path, size, "%s/uefi.img", cache ? cache : "/var/cache/vmmd/guest");
    return have_uefi() && access(path, R_OK) == 0;
}

static void it_boots_from_its_disk_by_uefi(void **state)
{
    char image[256];
    bool from_disk = have_image(image, sizeof image);
    CLEANUP(mem_freep)
    char *body = str_format("{\"name\":\"m\",\"memory_bytes\":268435456,\"machine\":\"pc\","
                            "\"nics\":[],\"cpu\":{\"max_vcpus\":2},\"serial_ports\":2,"
                            "\"firmware\":{\"type\":\"%s\"},%s}",
                            have_uefi() ? "uefi" : "bios", from_disk ? ON_DISK : BY_KERNEL);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms", body, 201));
    if (from_disk)
        rig_fill_disk(&rig, "raw", image);
    else
        print_message("without its disk: run tools/guest/build-disk\n");
    boot("m");
    needs_uefi();
    run("[ -d /sys/firmware/efi ] && echo by-$((1+1))-uefi\n", "by-2-uefi");
}

static void it_keeps_a_variable_in_its_firmware(void **state)
{
    needs_uefi();
    run("mount -t efivarfs none /sys/firmware/efi/efivars; cd /sys/firmware/efi/efivars; "
        "printf '\\007\\000\\000\\000kept-by-vmmd' >Vmmd-11223344-5566-4788-89aa-bbccddeeff01; "
        "cd /; echo stored-$((2+2))\n",
        "stored-4");
}

static void its_second_serial_port_has_a_log_of_its_own(void **state)
{
    int64_t deadline_ms = clock_mono_ms() + WORD_MS;
    bool found = false;

    run("echo on-the-second-port >/dev/ttyS1; echo told-$((3+3))\n", "told-6");
    while (!found && clock_mono_ms() < deadline_ms) {
        size_t len;
        CLEANUP(mem_freep)
        char *text = rig_get_bytes(&rig, "/api/v1/vms/m/serial?port=1&offset=0&wait=5", &len);
        found = memmem(text, len, "on-the-second-port", 18);
    }
    assert_true(found);
}

static void a_processor_is_plugged_in_while_it_runs(void **state)
{
    json_decref(rig_do(&rig, "PATCH", "/api/v1/vms/m", "{\"vcpus\":2}", 200));
    run("until [ -e /sys/devices/system/cpu/cpu1 ]; do usleep 100000; done; "
        "echo 1 >/sys/devices/system/cpu/cpu1/online; echo cpus-$(nproc)\n",
        "cpus-2");
}

static void assert_detail(const char *vm, const char *words)
{
    CLEANUP(mem_freep) char *detail = rig_text(&rig, vm, "run.detail");

    if (!strstr(detail, words))
        fail_msg("the detail lacks '%s': %s", words, detail);
}

static void what_its_kernel_says_last_is_told_with_its_panic(void **state)
{
    rig_type(&rig, "m", "echo c >/proc/sysrq-trigger\n");
    rig_await(&rig, "m", "paused", "guest-panic", WORD_MS);
    assert_detail("m", "Kernel panic - not syncing: sysrq triggered crash");
    rig_act(&rig, "m", "stop");
    rig_await(&rig, "m", "off", NULL, 10000);
}

static void the_variable_is_there_after_a_stop_and_a_start(void **state)
{
    boot("m");
    needs_uefi();
    run("mount -t efivarfs none /sys/firmware/efi/efivars; "
        "tail -c 12 /sys/firmware/efi/efivars/Vmmd-*; echo -$((7+7))\n",
        "kept-by-vmmd-14");
}

static void an_interrupt_that_cannot_be_masked_reaches_it(void **state)
{
    run("echo 1 >/proc/sys/kernel/unknown_nmi_panic; echo armed-$((8+8))\n", "armed-16");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/m/actions/nmi", "{}", 204));
    rig_await(&rig, "m", "paused", "guest-panic", WORD_MS);
    assert_detail("m", "armed-16"); /* its kernel could not speak, but this came last */
    rig_act(&rig, "m", "stop");
}

/* ---- CD drives ---- */

static void a_guest_reads_its_medium(void **state)
{
    at = 0;
    put_medium("one.iso", "first-medium");
    put_medium("two.iso", "second-medium");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"c\",\"memory_bytes\":201326592,\"machine\":\"pc\",\"nics\":[],"
                       "\"cdroms\":[{\"media\":\"one.iso\"}],"
                       "\"watchdog\":\"i6300esb\"," BY_KERNEL "}",
                       201));
    boot("c");
    run_on("c",
           "modprobe sr_mod; until [ -e /dev/sr0 ]; do usleep 100000; done; "
           "head -c 12 /dev/sr0; echo -$((4+4))\n",
           "first-medium-8");
}

static void a_medium_is_changed_while_it_runs(void **state)
{
    json_decref(
        rig_do(&rig, "PATCH", "/api/v1/vms/c", "{\"cdroms\":[{\"media\":\"two.iso\"}]}", 200));
    run_on("c",
           "until head -c 13 /dev/sr0 2>/dev/null | grep second; do usleep 100000; done; "
           "echo changed-$((5+5))\n",
           "changed-10");
    json_decref(rig_do(&rig, "PATCH", "/api/v1/vms/c", "{\"cdroms\":[{}]}", 200));
    run_on("c",
           "while head -c 1 /dev/sr0 2>/dev/null; do usleep 100000; done; echo gone-$((6+6))\n",
           "gone-12");
}

/* The keyboard belongs to the screen, where another shell waits. */
static void what_is_typed_on_its_keyboard_arrives(void **state)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/c/actions/type",
                       "{\"text\":\"echo by-key-$((9+9)) >/dev/ttyS0\\n\"}", 204));
    rig_expect(&rig, "c", &at, "by-key-18", WORD_MS);
}

/* No driver of Debian's small kernel feeds it, so it is set going by its registers: a timeout of
 * some milliseconds in both stages, then the bit that enables it. */
static void a_watchdog_that_nobody_feeds_stops_it(void **state)
{
    run_on("c",
           "d=$(grep -l 0x25ab /sys/bus/pci/devices/*/device); d=${d%/device}; echo 1 >$d/enable; "
           "b=$(head -n 1 $d/resource | cut -d ' ' -f 1); for r in 0 4; do "
           "devmem $((b+12)) 32 0x80; devmem $((b+12)) 32 0x86; devmem $((b+r)) 32 0x40; done; "
           "echo set-$((10+10))\n",
           "set-20");
    rig_type(&rig, "c", "printf '\\002' | dd of=$d/config bs=1 seek=104 conv=notrunc\n");
    rig_await(&rig, "c", "paused", "watchdog", WORD_MS);
    assert_detail("c", "did not serve its watchdog");
    rig_act(&rig, "c", "stop");
}

/* ---- a CD that boots, and its screens ---- */

/* Says CD-BOOT on the first serial port, and halts. */
static const unsigned char cd_code[] = {0xba, 0xf8, 0x03,       /* mov dx, 0x3f8 */
                                        0xbe, 0x12, 0x7c,       /* mov si, text */
                                        0x2e, 0xac,             /* next: cs lodsb */
                                        0x84, 0xc0, 0x74, 0x03, /* test al, al; jz stop */
                                        0xee, 0xeb, 0xf7,       /* out dx, al; jmp next */
                                        0xf4, 0xeb, 0xfd,       /* stop: hlt; jmp stop */
                                        'C',  'D',  '-',  'B',  'O', 'O', 'T', 0};

/* The least of an El Torito disc: a volume descriptor, a boot record, a catalog with one entry that
 * loads a sector and jumps into it. */
static void make_disc(unsigned char *disc)
{
    static const unsigned char catalog[] = {1,    0,    0,           0,        [28] = 0xaa, 0x55,
                                            0x55, 0xaa, [32] = 0x88, [38] = 1, 0,           19};

    memcpy(disc + 16 * SECTOR, "\1CD001\1", 7);
    memcpy(disc + 17 * SECTOR, "\0CD001\1EL TORITO SPECIFICATION", 30);
    disc[17 * SECTOR + 0x47] = 18;
    memcpy(disc + 18 * SECTOR, catalog, sizeof catalog);
    memcpy(disc + 19 * SECTOR, cd_code, sizeof cd_code);
}

static void a_disc_boots_when_it_comes_first(void **state)
{
    unsigned char disc[20 * SECTOR] = {0};

    at = 0;
    make_disc(disc);
    put_bytes("boot.iso", disc, sizeof disc);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"cd\",\"memory_bytes\":67108864,\"nics\":[],"
                       "\"cdroms\":[{\"media\":\"boot.iso\"}],\"boot\":{\"order\":\"cdrom,disk\"},"
                       "\"disks\":[{\"size_bytes\":1048576}],"
                       "\"video\":{\"model\":\"virtio\",\"heads\":2}}",
                       201));
    rig_act(&rig, "cd", "start");
    rig_expect(&rig, "cd", &at, "CD-BOOT", WORD_MS);
}

static void each_screen_is_a_picture(void **state)
{
    static const char *const paths[] = {"/api/v1/vms/cd/screenshot",
                                        "/api/v1/vms/cd/screenshot?head=1"};
    int status;

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        size_t len;
        CLEANUP(mem_freep) char *png = rig_get_bytes(&rig, paths[i], &len);
        assert_true(len > 100);
        assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    }
    json_decref(rig_call(&rig, "GET", "/api/v1/vms/cd/screenshot?head=2", NULL, &status));
    assert_int_equal(status, 422);
    rig_act(&rig, "cd", "stop");
}

/* ---- 32 bits ---- */

static bool old_guest(char *path, size_t size)
{
    const char *cache = getenv("VMMD_GUEST_DIR");

    snprintf(path, size, "%s/tiny-i386", cache ? cache : "/var/cache/vmmd/guest");
    return access(path, R_OK) == 0;
}

static void needs_old_guest(void)
{
    char path[256];

    if (!old_guest(path, sizeof path)) {
        print_message("not built: run tools/guest/build-tiny --arch i386\n");
        skip();
    }
}

static void a_system_of_32_bits_runs_on_a_processor_of_its_time(void **state)
{
    at = 0;
    needs_old_guest();
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"old\",\"memory_bytes\":268435456,\"machine\":\"pc\","
                       "\"cpu\":{\"model\":\"pentium3\"},\"video\":{\"model\":\"cirrus\"},"
                       "\"watchdog\":\"i6300esb\",\"rng\":false,\"pointer\":\"mouse\","
                       "\"nics\":[{\"model\":\"rtl8139\"}],"
                       "\"boot\":{\"kernel\":\"tiny-i386\","
                       "\"cmdline\":\"" RIG_CMDLINE "\"}}",
                       201));
    boot("old");
    run_on("old", "grep -o 'Pentium III' /proc/cpuinfo; echo $(uname -m)-$((11+11))\n", "i686-22");
}

static void its_driver_feeds_the_watchdog_or_does_not(void **state)
{
    needs_old_guest();
    run_on("old", "modprobe i6300esb; watchdog -T 2 -t 3600 /dev/watchdog; echo fed-$((12+12))\n",
           "fed-24");
    rig_await(&rig, "old", "paused", "watchdog", WORD_MS);
    rig_act(&rig, "old", "stop");
}

static int setup(void **state)
{
    static char more[640];
    char path[256];

    if (old_guest(path, sizeof path))
        snprintf(more, sizeof more,
                 "[boot tiny-i386]\nkernel = %s/vmlinuz\ninitrd = %s/initrd.img\n", path, path);
    rig.more = more;
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
        cmocka_unit_test(a_giant_needs_leave_to_promise_what_is_not_there),
        cmocka_unit_test(firmware_with_secure_boot_starts),
        cmocka_unit_test(an_unknown_processor_is_named_in_the_refusal),
        cmocka_unit_test(it_boots_from_its_disk_by_uefi),
        cmocka_unit_test(it_keeps_a_variable_in_its_firmware),
        cmocka_unit_test(its_second_serial_port_has_a_log_of_its_own),
        cmocka_unit_test(a_processor_is_plugged_in_while_it_runs),
        cmocka_unit_test(what_its_kernel_says_last_is_told_with_its_panic),
        cmocka_unit_test(the_variable_is_there_after_a_stop_and_a_start),
        cmocka_unit_test(an_interrupt_that_cannot_be_masked_reaches_it),
        cmocka_unit_test(a_guest_reads_its_medium),
        cmocka_unit_test(a_medium_is_changed_while_it_runs),
        cmocka_unit_test(what_is_typed_on_its_keyboard_arrives),
        cmocka_unit_test(a_watchdog_that_nobody_feeds_stops_it),
        cmocka_unit_test(a_disc_boots_when_it_comes_first),
        cmocka_unit_test(each_screen_is_a_picture),
        cmocka_unit_test(a_system_of_32_bits_runs_on_a_processor_of_its_time),
        cmocka_unit_test(its_driver_feeds_the_watchdog_or_does_not),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/machine: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/machine", tests, setup, teardown);
}
