/* Images that strangers made, with the real daemon and a real QEMU in its jail: honest ones of
 * every format come in as they are; hostile ones are refused with a sentence, nothing is made of
 * them, and no byte of the host is in anything that comes out. */
#include "tests/lib/points.h"
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MIB   (1u << 20)
#define DISKS "/api/v1/vms/web/disks"

static struct rig rig;
static char *points_dir;
static char *secret; /* a file of the host's, with words that must not come out anywhere */

#define SECRET_WORDS "nobody but the host reads this"

static void shell(const char *fmt, ...) PRINTF(1, 2);
static void shell(const char *fmt, ...)
{
    CLEANUP(mem_freep) char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    assert_true(vasprintf(&line, fmt, ap) > 0);
    va_end(ap);
    if (system(line) != 0) /* NOLINT: the test's own words */
        fail_msg("%s", line);
}

static char *below(const char *rest)
{
    return str_format("%s/%s", rig.dir, rest);
}

/* The folder with what is to be imported, and the disk that honest images have: 8 MiB, data in the
 * middle. */
static int setup(void **state)
{
    const char *why;

    if (!rig_possible_bare(&why))
        return -1;
    points_dir = tmp_dir_make();
    CLEANUP(mem_freep) char *socket = str_format("%s/socket", points_dir);
    assert_int_equal(chmod(points_dir, 0755), 0); /* the processes have other users */
    points_open(socket);
    rig_make(&rig, geteuid());
    json_decref(rig_do(&rig, "GET", "/api/v1/imports", NULL, 200)); /* makes the folders */
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"web\",\"accel\":\"tcg\",\"memory_bytes\":67108864}", 201));
    secret = below("secret");
    shell("cd %s && echo '" SECRET_WORDS "' > secret && truncate -s 1M secret && "
          "head -c 8M /dev/zero > disk && "
          "head -c 3000000 /dev/urandom | dd of=disk bs=64k seek=32 conv=notrunc status=none",
          rig.dir);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    points_close();
    tmp_dir_remove(points_dir);
    mem_freep(&secret);
    return 0;
}

/* ---- what came of it ---- */

static unsigned files_of_pools(const char *suffix)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/*/*-*-*-*-*/*-*-*-*-*%s", rig.dir, suffix);
    glob_t found;
    unsigned n = 0;

    if (glob(pattern, 0, NULL, &found) == 0)
        n = (unsigned)found.gl_pathc;
    globfree(&found);
    return n;
}

static void nothing_of_the_host_is_anywhere(void)
{
    /* a file that goes meanwhile would be an error */
    shell("grep -rq --exclude-dir=vmmd-copies '" SECRET_WORDS "' %s/main %s/second; test $? = 1",
          rig.dir, rig.dir);
}

static size_t disks_of_web(void)
{
    CLEANUP(json_decrefp) json_t *all = rig_do(&rig, "GET", DISKS, NULL, 200);

    return json_array_size(json_object_get(all, "items"));
}

static json_t *import(const char *body, int *status)
{
    return rig_call(&rig, "POST", DISKS, body, status);
}

/* Refused before anything begins, or by the operation: either way there is a sentence, and
 * nothing more. */
static void must_be_refused(const char *file, const char *format, const char *why)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"source\":{\"file\":\"%s\",\"format\":\"%s\"}}", file, format);
    int status;
    CLEANUP(json_decrefp) json_t *said = import(body, &status);
    const char *detail = json_get_text(said, "detail");

    if (status < 400 || (status >= 500 && status != 507) || !detail || !strstr(detail, why))
        fail_msg("%s: %d, %s", file, status, detail ? detail : "no sentence");
    assert_null(strstr(detail, SECRET_WORDS));
    assert_int_equal(files_of_pools(""), 0);
    assert_int_equal(disks_of_web(), 0);
}

/* ---- honest ones ---- */

static void remove_the_disk(void)
{
    CLEANUP(json_decrefp) json_t *all = rig_do(&rig, "GET", DISKS, NULL, 200);
    const json_t *one = json_array_get(json_object_get(all, "items"), 0);
    CLEANUP(mem_freep) char *path = str_format("/api/v1/disks/%s", json_get_text(one, "id"));

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
    assert_int_equal(files_of_pools(""), 0);
}

static void an_image_of_every_format_comes_in_as_it_is(void **state)
{
    static const char *const makes[] = {
        "convert -O qcow2 disk main/imports/a.img",
        "convert -c -O qcow2 disk main/imports/a.img",
        "convert -O qcow2 -o compat=0.10 disk main/imports/a.img",
        "convert -O vpc -o force_size=on disk main/imports/a.img",
        "convert -O vpc -o subformat=fixed,force_size=on disk main/imports/a.img",
        "convert -O vhdx disk main/imports/a.img",
        "convert -O vmdk disk main/imports/a.img",
        "convert -O vmdk -o subformat=streamOptimized disk main/imports/a.img",
    };

    for (size_t i = 0; i < ARRAY_LEN(makes); i++) {
        shell("cd %s && qemu-img %s && chmod 644 main/imports/a.img", rig.dir, makes[i]);
        json_decref(rig_do(&rig, "POST", DISKS,
                           "{\"source\":{\"file\":\"a.img\"},\"format\":\"raw\"}", 200));
        assert_int_equal(files_of_pools(".raw"), 1);
        shell("cmp %s/disk %s/main/*/*.raw", rig.dir, rig.dir);
        remove_the_disk();
        shell("test -s %s/main/imports/a.img && rm %s/main/imports/a.img", rig.dir, rig.dir);
    }
}

/* VirtualBox means the size, and QEMU 7.2 would take the smaller geometry. */
static void becomes_one_of_virtualbox(const char *file)
{
    static const uint8_t geometry[] = {0, 200, 4, 17};
    CLEANUP(mem_freep) char *path = str_format("%s/main/imports/%s", rig.dir, file);
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    const off_t at = lseek(fd, -512, SEEK_END);
    uint8_t footer[512];
    uint32_t sum = 0;

    assert_int_equal(pread(fd, footer, sizeof footer, at), sizeof footer);
    memcpy(footer + 28, "vbox", 4); /* NOLINT: it is no text there */
    memcpy(footer + 56, geometry, sizeof geometry);
    memset(footer + 64, 0, 4);
    for (size_t i = 0; i < sizeof footer; i++)
        sum += footer[i];
    sum = htobe32(~sum);
    memcpy(footer + 64, &sum, sizeof sum);
    assert_int_equal(pwrite(fd, footer, sizeof footer, at), sizeof footer);
}

static void a_fixed_vhd_comes_in_to_its_last_byte_and_no_further(void **state)
{
    shell("cd %s && cp disk as && printf end | dd of=as bs=1 seek=8388605 conv=notrunc "
          "status=none && qemu-img convert -O vpc -o subformat=fixed,force_size=on as "
          "main/imports/v.img && chmod 644 main/imports/v.img",
          rig.dir);
    becomes_one_of_virtualbox("v.img");
    json_decref(rig_do(&rig, "POST", DISKS,
                       "{\"source\":{\"file\":\"v.img\"},\"size_bytes\":16777216,"
                       "\"format\":\"raw\"}",
                       200));
    shell("cd %s && truncate -s 16M as && cmp as main/*/*.raw && rm as", rig.dir);
    remove_the_disk();
}

static void a_raw_image_comes_in_when_it_is_said_to_be_one(void **state)
{
    shell("cd %s && cp disk main/imports/r.img", rig.dir);
    must_be_refused("r.img", "auto", "say the format raw");
    json_decref(rig_do(&rig, "POST", DISKS,
                       "{\"source\":{\"file\":\"r.img\",\"format\":\"raw\"},"
                       "\"size_bytes\":16777216,\"format\":\"qcow2\"}",
                       200));
    shell("cd %s && qemu-img convert -O raw main/*/*.qcow2 out && cmp -n 8388608 disk out && "
          "test $(stat -c %%s out) = 16777216 && rm out",
          rig.dir);
    remove_the_disk();
}

/* ---- hostile ones ---- */

static void images_that_name_other_files_are_refused(void **state)
{
    shell("cd %s/main/imports && qemu-img create -q -u -f qcow2 -b %s -F raw back.img 1M && "
          "qemu-img create -q -u -f qcow2 -b 'json:{\"driver\":\"file\",\"filename\":\"%s\"}' "
          "-F raw json.img 1M && "
          "qemu-img create -q -u -f qcow2 -b nbd:unix:/run/x -F raw nbd.img 1M && "
          "qemu-img create -q -f qcow2 -o data_file=elsewhere data.img 1M && rm -f elsewhere && "
          "printf '# Disk DescriptorFile\\nversion=1\\nparentCID=ffffffff\\n"
          "createType=\"monolithicFlat\"\\nRW 2048 FLAT \"%s\" 0\\n' > flat.img && "
          "qemu-img create -q -f vmdk sparse.img 1M && "
          "sed -i 's/\"monolithicSparse\"/\"monolithicFlat\"  /' sparse.img && chmod 644 *.img",
          rig.dir, secret, secret, secret);
    must_be_refused("back.img", "auto", "differs from another file");
    must_be_refused("json.img", "qcow2", "differs from another file");
    must_be_refused("nbd.img", "auto", "differs from another file");
    must_be_refused("data.img", "auto", "another file");
    must_be_refused("flat.img", "auto", "never opened");
    must_be_refused("flat.img", "vmdk", "never opened");
    must_be_refused("sparse.img", "vmdk", "never opened");
    nothing_of_the_host_is_anywhere();
}

/* A byte, or some, of an image. */
static void poke(const char *file, long at, const char *octal)
{
    shell("printf '%s' | dd of=%s/main/imports/%s bs=1 seek=%ld conv=notrunc status=none", octal,
          rig.dir, file, at);
}

static void images_that_lie_are_refused(void **state)
{
    shell("cd %s/main/imports && qemu-img convert -O qcow2 ../../disk big.img && "
          "cp big.img table.img && cp big.img crypt.img && "
          "head -c 300k big.img > cut.img && "
          "qemu-img create -q -f vpc -o force_size=on diff.img 8M && "
          "qemu-img create -q -f qcow2 -o cluster_size=2M huge.img 60T && chmod 644 *.img",
          rig.dir);
    poke("big.img", 24, "\\000\\000\\074"); /* 60 TiB and some */
    poke("table.img", 36, "\\177");
    poke("crypt.img", 35, "\\001");
    poke("diff.img", 63, "\\004");
    must_be_refused("big.img", "auto", "too small for its disk");
    must_be_refused("table.img", "auto", "first table");
    must_be_refused("crypt.img", "auto", "encrypted");
    must_be_refused("cut.img", "auto", "cut off");
    must_be_refused("diff.img", "auto", "damaged");
    must_be_refused("big.img", "vhdx", "no vhdx image");
    must_be_refused("huge.img", "auto", "can never fit");
}

/* The QEMU of an operation, which runs no guest. */
static pid_t qemu_of(const json_t *op)
{
    const pid_t worker = proc_with_args("vmmd-worker", json_get_text(op, "id"));
    const pid_t jail = worker ? proc_child_named(worker, "vmmd-jail") : 0;

    return jail ? proc_child_named(jail, "/usr/bin/qemu-system-x86_64") : 0;
}

static json_t *ended(const json_t *op)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s", json_get_text(op, "id"));
    const int64_t deadline = clock_mono_ms() + 60000;

    for (;;) {
        json_t *now = rig_do(&rig, "GET", path, NULL, 200);
        if (json_get_text(now, "ended_at"))
            return now;
        json_decref(now);
        assert_true(clock_left_ms(deadline) > 0);
        poll(NULL, 0, 20);
    }
}

/* What vmmd-inspect lets pass fits its bound; a QEMU that an image has led to write more than
 * that, here as its bound is lowered beneath it, is told so, and it is the image that is blamed. */
static void a_copy_that_outgrows_its_disk_is_ended(void **state)
{
    static const struct point mirror = {"import.mirror", 1};
    struct rlimit given, less = {MIB, MIB};
    CLEANUP(json_decrefp) json_t *op = NULL;
    CLEANUP(json_decrefp) json_t *end = NULL;
    const json_t *error;
    int status;

#ifndef VMMD_FAILPOINTS
    skip(); /* nothing can be held */
#endif
    if (geteuid() != 0)
        skip(); /* the other user's limits cannot be changed */
    shell("cd %s && qemu-img convert -O qcow2 disk main/imports/big.img", rig.dir);
    points_arm(&mirror, false);
    op = rig_send(&rig, "POST", DISKS, "{\"source\":{\"file\":\"big.img\"},\"format\":\"raw\"}",
                  NULL, &status);
    assert_int_equal(status, 202);
    assert_true(points_reached(20000));
    assert_int_equal(prlimit(qemu_of(op), RLIMIT_FSIZE, &less, &given), 0);
    assert_int_equal(given.rlim_max, (8 * MIB) + (8 * MIB) / 512 + 320ull * MIB);
    points_release();
    end = ended(op);
    error = json_object_get(end, "error");
    if (!strstr(json_get_text(error, "detail"), "holds more than the disk it says it is"))
        fail_msg("%s", json_get_text(error, "detail"));
    assert_int_equal(files_of_pools(""), 0);
    assert_int_equal(disks_of_web(), 0);
}

static void what_is_no_plain_file_is_not_opened(void **state)
{
    shell("cd %s/main/imports && ln -s %s link.img && ln %s hard.img && mkfifo pipe.img && "
          "mkdir dir.img",
          rig.dir, secret, secret);
    if (geteuid() == 0)
        shell("mknod %s/main/imports/dev.img c 1 5", rig.dir);
    must_be_refused("link.img", "raw", "no file");
    must_be_refused("hard.img", "raw", "another name");
    must_be_refused("pipe.img", "raw", "no file");
    must_be_refused("dir.img", "raw", "no file");
    if (geteuid() == 0)
        must_be_refused("dev.img", "raw", "no file");
    shell("cd %s/main/imports && rm -rf link.img hard.img pipe.img dir.img dev.img", rig.dir);
    nothing_of_the_host_is_anywhere();
}

static void names_lead_nowhere(void **state)
{
    CLEANUP(mem_freep) char *longest = mem_alloc(4097);
    static const char *const names[] = {
        "../secret",
        "..",
        ".",
        "/etc/hostname",
        "a/../../secret",
        "%2e%2e/secret",
        "\\u0000",
        "a\\u0000b",
        "a\\nb",
        "\\u202egmi.a",
        "-rf",
        "json:{}",
        "nbd:x",
        "fd:0",
        "",
        "..\\\\secret",
        "./secret",
        "imports/..",
        "file:///etc/passwd",
        "~",
        "C:\\\\secret",
        "\\ud800",
        "$(id)",
        "'; --",
    };

    memset(longest, 'a', 4096);
    for (size_t i = 0; i <= ARRAY_LEN(names); i++) {
        const char *name = i < ARRAY_LEN(names) ? names[i] : longest;
        CLEANUP(mem_freep)
        char *body = str_format("{\"source\":{\"file\":\"%s\",\"format\":\"raw\"}}", name);
        CLEANUP(mem_freep)
        char *root = str_format("{\"source\":{\"file\":\"a\",\"root\":\"%s\"}}", name);
        int status;
        json_decref(import(body, &status));
        if (status < 400 || status > 499)
            fail_msg("'%.60s' is answered with %d", name, status);
        json_decref(import(root, &status));
        if (status < 400 || status > 499)
            fail_msg("the root '%.60s' is answered with %d", name, status);
    }
    assert_int_equal(files_of_pools(""), 0);
    nothing_of_the_host_is_anywhere();
}

/* ---- what a guest writes ---- */

/* The header of an image with a backing file, where a raw disk begins. What is done with the disk
 * afterwards, it stays the bytes it is. */
static void a_raw_disk_stays_raw_whatever_its_guest_writes_there(void **state)
{
    CLEANUP(json_decrefp) json_t *snapshot = NULL;
    CLEANUP(mem_freep) char *path = NULL;

    shell("cd %s && qemu-img create -q -u -f qcow2 -b 'json:{\"driver\":\"raw\",\"file\":"
          "{\"driver\":\"file\",\"filename\":\"%s\"}}' -F raw trap 1M && truncate -s 8M trap",
          rig.dir, secret);
    json_decref(rig_do(&rig, "POST", DISKS, "{\"size_bytes\":8388608,\"format\":\"raw\"}", 200));
    CLEANUP(mem_freep) char *trap = below("trap");
    rig_fill_disk(&rig, "raw", trap);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", "{\"name\":\"one\"}", 200));
    snapshot = rig_do(&rig, "GET", "/api/v1/vms/web/snapshots", NULL, 200);
    path = str_format("/api/v1/snapshots/%s/actions/export",
                      json_get_text(json_array_get(json_object_get(snapshot, "items"), 0), "id"));
    json_decref(rig_do(&rig, "POST", path, "{\"format\":\"raw\"}", 200));
    shell("cmp %s/trap %s/main/exports/web-one-0.raw", rig.dir, rig.dir);
    json_decref(
        rig_do(&rig, "POST", "/api/v1/vms/web/actions/move-storage", "{\"pool\":\"second\"}", 200));
    shell("cmp %s/trap %s/second/*/*.raw", rig.dir, rig.dir);
    nothing_of_the_host_is_anywhere();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_of_every_format_comes_in_as_it_is),
        cmocka_unit_test(a_fixed_vhd_comes_in_to_its_last_byte_and_no_further),
        cmocka_unit_test(a_raw_image_comes_in_when_it_is_said_to_be_one),
        cmocka_unit_test(images_that_name_other_files_are_refused),
        cmocka_unit_test(images_that_lie_are_refused),
        cmocka_unit_test(a_copy_that_outgrows_its_disk_is_ended),
        cmocka_unit_test(what_is_no_plain_file_is_not_opened),
        cmocka_unit_test(names_lead_nowhere),
        cmocka_unit_test(a_raw_disk_stays_raw_whatever_its_guest_writes_there),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
