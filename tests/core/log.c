/* The last lines of a VM's logs, fit to be shown. */
#include "tests/lib/world.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", "\"serial_ports\":2");
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

/* The caller owns it. */
static char *tail(enum vm_log_source source, unsigned port, unsigned lines)
{
    struct strbuf out = {0};
    struct err err = {0};

    if (!vm_log_tail(w.core, "web", source, port, lines, &out, &err))
        fail_msg("%s", err.detail);
    return strbuf_take(&out);
}

static void assert_tail(unsigned lines, const char *wanted)
{
    CLEANUP(mem_freep) char *text = tail(VM_LOG_QEMU, 0, lines);

    assert_string_equal(text, wanted);
}

/* As the worker does it. */
static void qemu_says(const void *text, size_t len)
{
    CLEANUP(mem_freep)
    char *path = str_format("%s/state/vm/%s/qemu.log", w.dir, world_vm(&w, "web", "id"));
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct err err = {0};

    assert_true(fd >= 0);
    assert_true(fs_write_all(fd, text, len, &err));
}

static void start(void)
{
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void of_a_vm_that_never_ran_there_are_none(void **state)
{
    assert_tail(100, "");
}

static void the_last_lines_come_whole(void **state)
{
    start();
    qemu_says("one\ntwo\nthree\n", 14);
    assert_tail(2, "two\nthree\n");
    assert_tail(100, "one\ntwo\nthree\n");
    qemu_says("four", 4); /* still being written */
    assert_tail(2, "three\nfour");
    assert_tail(1, "four");
}

static void nothing_in_it_reaches_the_readers_terminal(void **state)
{
    static const char hostile[] = "a\033[2Jb\r\n\tc\0d\xff\xc3\xa9\xc2\x9bm\xe2\x82\n";

    start();
    qemu_says(hostile, sizeof hostile - 1);
    assert_tail(9, "a\\x1b[2Jb\n\tc\\x00d\\xff\xc3\xa9\\xc2\\x9bm\\xe2\\x82\n");
}

static void a_long_log_is_read_at_its_end(void **state)
{
    CLEANUP(mem_freep) char *line = mem_alloc(1024), *all = NULL;
    size_t n;

    start();
    memset(line, 'x', 1023);
    line[1023] = '\n';
    for (unsigned i = 0; i < 1100; i++)
        qemu_says(line, 1024);
    qemu_says("the end\n", 8);
    assert_tail(1, "the end\n");
    all = tail(VM_LOG_QEMU, 0, 10000);
    n = strlen(all);
    assert_int_equal(n, VM_LOG_BYTES);
    assert_string_equal(all + n - 9, "\nthe end\n");
}

static void a_guests_console_is_one_as_well(void **state)
{
    CLEANUP(mem_freep) char *text = NULL, *other = NULL;
    struct strbuf none = {0};
    struct err err = {0};

    start();
    assert_true(vm_serial_write(w.core, "web", 0, "panic\n", 6, &world_admin, &err));
    world_await(&w, "web", "run.reason", "guest-panic");
    text = tail(VM_LOG_SERIAL, 0, 100);
    assert_non_null(strstr(text, "Kernel panic - not syncing: \\x1b[31masked to"));
    assert_null(strchr(text, '\033'));
    other = tail(VM_LOG_SERIAL, 1, 100);
    assert_null(strstr(other, "Kernel panic"));
    assert_false(vm_log_tail(w.core, "web", VM_LOG_SERIAL, 2, 9, &none, &err));
    assert_int_equal(err.code, ERR_INVALID);
    err = (struct err){0};
    assert_false(vm_log_tail(w.core, "none", VM_LOG_QEMU, 0, 9, &none, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(of_a_vm_that_never_ran_there_are_none),
        STORY(the_last_lines_come_whole),
        STORY(nothing_in_it_reaches_the_readers_terminal),
        STORY(a_long_log_is_read_at_its_end),
        STORY(a_guests_console_is_one_as_well),
    };

    return cmocka_run_group_tests_name("core/log", tests, NULL, NULL);
}
