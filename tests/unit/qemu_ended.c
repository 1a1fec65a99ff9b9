/* How a machine ended: the table of causes, and the lock that proves death. */
#include "tests/lib/harness.h"

#include "backends/qemu/ended.h"
#include "backends/qemu/png.h"
#include "backends/qemu/worker_wire.h"
#include "core/base/fs.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define EXITED(status) ((status) << 8)

static const struct {
    const char *cause;
    int wstatus;
    enum vm_run run;
    enum vm_reason reason;
    const char *words; /* what the detail must hold */
} table[] = {
    {"guest-shutdown", 0, VM_OFF, VM_REASON_GUEST_SHUTDOWN, ""},
    {"killed", SIGKILL, VM_OFF, VM_REASON_USER, ""},
    {"host-quit", 0, VM_OFF, VM_REASON_USER, ""},
    {"guest-panic", 0, VM_CRASHED, VM_REASON_GUEST_PANIC, "panic"},
    {"launch-failed", EXITED(1), VM_CRASHED, VM_REASON_START_FAILED, "last words"},
    {"distrusted", SIGKILL, VM_CRASHED, VM_REASON_SIGNAL, "vmmd ended it"},
    {"oom", SIGKILL, VM_CRASHED, VM_REASON_OOM, "no memory"},
    {"memory-limit", SIGKILL, VM_CRASHED, VM_REASON_OOM, "limit of memory"},
    {"signal", SIGSYS, VM_CRASHED, VM_REASON_SECCOMP, "sandbox"},
    {"signal", SIGKILL, VM_CRASHED, VM_REASON_SIGNAL, "out of memory"},
    {"signal", SIGSEGV, VM_CRASHED, VM_REASON_SIGNAL, "SIGSEGV"},
    {"exit", EXITED(1), VM_CRASHED, VM_REASON_EXIT, "status 1"},
    {"exit", SIGABRT, VM_CRASHED, VM_REASON_SIGNAL, "SIGABRT"},
    {"of-the-future", EXITED(3), VM_CRASHED, VM_REASON_EXIT, "status 3"},
};

static void every_cause_has_its_state(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP(json_decrefp)
        json_t *record =
            json_pack("{s:s,s:s,s:i,s:s}", "boot_id", "this-boot", "cause", table[i].cause,
                      "wstatus", table[i].wstatus, "qemu_log", "last words");
        struct machine_event event;
        ended_map(record, "this-boot", &event);
        assert_int_equal(event.kind, MACHINE_EXITED);
        assert_int_equal(event.run, table[i].run);
        assert_int_equal(event.reason, table[i].reason);
        assert_non_null(strstr(event.detail, table[i].words));
    }
}

static void every_cause_of_the_wire_is_in_the_table(void **state)
{
    static const char *const causes[] = {
#define X(name, text) text,
        WORKER_CAUSES(X)
#undef X
    };

    for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(table); k++)
            found = found || strcmp(table[k].cause, causes[i]) == 0;
        assert_true(found);
    }
}

static void a_record_of_an_earlier_boot_means_a_host_reset(void **state)
{
    CLEANUP(json_decrefp)
    json_t *record = json_pack("{s:s,s:s}", "boot_id", "before", "cause", "guest-shutdown");
    struct machine_event event;

    ended_map(record, "now", &event);
    assert_int_equal(event.run, VM_CRASHED);
    assert_int_equal(event.reason, VM_REASON_HOST_RESET);
    ended_map(NULL, "now", &event);
    assert_int_equal(event.reason, VM_REASON_WORKER_LOST);
}

static void a_long_log_is_cut_not_overrun(void **state)
{
    CLEANUP(json_decrefp) json_t *record = json_object();
    static char words[4096];
    struct machine_event event;

    memset(words, 'w', sizeof words - 1);
    json_put_text(record, "cause", "exit");
    json_put_text(record, "qemu_log", words);
    ended_map(record, "", &event);
    assert_true(strlen(event.detail) < sizeof event.detail);
}

static int dir_of(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void whoever_holds_alive_is_alive(void **state)
{
    char *path = tmp_dir_make();
    CLEANUP(closep) int dir = dir_of(path);
    struct err err = {0};
    int fd;

    assert_true(ended_is_dead(dir)); /* it never came to make the file */
    fd = fs_open(dir, WORKER_ALIVE, O_RDWR | O_CREAT, 0600, &err);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_false(ended_is_dead(dir));
    assert_false(ended_wait(dir, 30, NULL, NULL));
    close(fd);
    assert_true(ended_is_dead(dir));
    assert_true(ended_wait(dir, 0, NULL, NULL));
    tmp_dir_remove(path);
}

static void a_record_is_read_from_the_run_directory(void **state)
{
    static const char text[] = "{\"cause\":\"guest-shutdown\",\"wstatus\":0}";
    char *path = tmp_dir_make();
    CLEANUP(closep) int dir = dir_of(path);
    struct machine_event event;
    struct err err = {0};

    assert_false(ended_read(dir, &event));
    assert_true(fs_publish(dir, WORKER_EXIT, text, strlen(text), 0600, &err));
    assert_true(ended_read(dir, &event));
    assert_int_equal(event.run, VM_OFF);
    assert_true(fs_publish(dir, WORKER_EXIT, "garbage", 7, 0600, &err));
    assert_true(ended_read(dir, &event));
    assert_int_equal(event.reason, VM_REASON_WORKER_LOST);
    tmp_dir_remove(path);
}

/* ---- pictures ---- */

static const char picture[] = "\x89PNG\r\n\x1a\n"
                              "\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\0\0\0\0crc!"
                              "\0\0\0\0IENDcrc!"
                              "and what lies behind";

static void a_picture_is_measured_to_its_last_chunk(void **state)
{
    size_t whole = sizeof picture - sizeof "and what lies behind";

    assert_int_equal(png_measure(picture, sizeof picture - 1), whole);
    for (size_t cut = 0; cut < whole; cut++)
        assert_int_equal(png_measure(picture, cut), 0);
}

static void what_is_not_a_picture_is_refused(void **state)
{
    char other[sizeof picture];

    assert_int_equal(png_measure("GIF89a..........", 16), -1);
    memcpy(other, picture, sizeof other);
    other[8] = (char)0xff; /* a chunk of 4 GiB */
    assert_int_equal(png_measure(other, sizeof other), -1);
    memcpy(other, picture, sizeof other);
    memcpy(other + 12, "IDAT", 4); /* not the header first */
    assert_int_equal(png_measure(other, sizeof other), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cause_has_its_state),
        cmocka_unit_test(every_cause_of_the_wire_is_in_the_table),
        cmocka_unit_test(a_record_of_an_earlier_boot_means_a_host_reset),
        cmocka_unit_test(a_long_log_is_cut_not_overrun),
        cmocka_unit_test(whoever_holds_alive_is_alive),
        cmocka_unit_test(a_record_is_read_from_the_run_directory),
        cmocka_unit_test(a_picture_is_measured_to_its_last_chunk),
        cmocka_unit_test(what_is_not_a_picture_is_refused),
    };

    return cmocka_run_group_tests_name("qemu/ended", tests, NULL, NULL);
}
