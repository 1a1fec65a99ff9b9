/* vmmd-pack as somebody who took it over would have it: it says that it is done and stays, or says
 * nothing at all. Neither holds the operation. What the real one does: tests/core/archived.c. */
#include "tests/lib/harness.h"

#include "backends/qemu/pack_wire.h"
#include "backends/qemu/qemu.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/image.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAY "exec tail -f /dev/null\n"

static char *dir;

static int setup(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int teardown(void **state)
{
    tmp_dir_remove(dir);
    return 0;
}

/* A program in vmmd-pack's place that writes this report, if any, and then stays. */
static void stand_in(const struct pack_report *report)
{
    CLEANUP(mem_freep) char *program = str_format("%s/pack", dir);
    CLEANUP(mem_freep) char *said = str_format("%s/report", dir);
    CLEANUP(mem_freep)
    char *text = str_format("#!/bin/sh\ncat '%s' >&%d\n" STAY, said, PACK_FD_REPORT);
    FILE *f = fopen(said, "we");

    assert_non_null(f);
    if (report)
        assert_int_equal(fwrite(report, sizeof *report, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(program, "we");
    assert_int_equal(fputs(text, f) >= 0, true);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(program, 0755), 0);
    image_pack_init(program);
}

static bool count(void *ctx, uint64_t bytes, struct err *err)
{
    return true;
}

static bool cancel(void *ctx, uint64_t bytes, struct err *err)
{
    return err_set(err, ERR_CANCELLED, "cancelled");
}

static bool pack(image_tell *tell, struct err *err)
{
    CLEANUP(closep) int from = memfd_create("from", MFD_CLOEXEC);
    CLEANUP(closep) int to = memfd_create("to", MFD_CLOEXEC);

    return image_pack(from, to, tell, NULL, err);
}

static void one_that_is_done_is_not_waited_for(void **state)
{
    const struct pack_report done = {.version = 1, .outcome = PACK_DONE};
    struct err err = {0};

    stand_in(&done);
    assert_true(pack(count, &err));
}

static void one_that_says_nothing_can_be_cancelled(void **state)
{
    struct err err = {0};

    stand_in(NULL);
    assert_false(pack(cancel, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_that_is_done_is_not_waited_for),
        T(one_that_says_nothing_can_be_cancelled),
    };

    return cmocka_run_group_tests_name("unit/qemu_pack", tests, NULL, NULL);
}
