/* WORKER_LAUNCH as main may write it, and as a hostile one would. */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "vmmd/worker/spec.h"

#include <stdlib.h>
#include <string.h>

static void expect_refused(const char *text, unsigned attached)
{
    struct err err = {0};
    struct spec *s = spec_read(text, strlen(text), attached, &err);

    if (s)
        fail_msg("accepted: %s", text);
    assert_true(err.code == ERR_INVALID || err.code == ERR_MALFORMED);
    assert_true(strlen(err.detail) > 5);
}

static void a_full_launch_is_read(void **state)
{
    static const char text[] =
        "{\"argv\":[\"/usr/bin/qemu\",\"-S\"],\"fds\":[{\"fd\":3,\"role\":\"qmp\"},{\"fd\":4,"
        "\"role\":\"serial\"},{\"fd\":5,\"role\":\"passt\"},{\"fd\":250,\"role\":\"file\","
        "\"index\":"
        "1},{\"input\":\"kernel\",\"role\":\"file\",\"index\":0}],\"passt\":[\"--mtu\",\"1400\"],"
        "\"logs\":{\"serial\":2,\"qemu\":3,\"commit\":4}}";
    struct err err = {0};
    CLEANUP(spec_freep) struct spec *s = spec_read(text, strlen(text), 5, &err);

    assert_non_null(s);
    assert_int_equal(s->n_args, 2);
    assert_string_equal(s->argv[1], "-S");
    assert_int_equal(s->n_fds, 5);
    assert_int_equal(s->fds[3].role, SPEC_FILE);
    assert_int_equal(s->fds[3].target, 250);
    assert_int_equal(s->fds[3].index, 1);
    assert_int_equal(s->fds[4].target, JAIL_TARGET_INPUT);
    assert_string_equal(s->fds[4].input, "kernel");
    assert_true(s->has_serial[0] && !s->has_serial[1] && s->has_passt);
    assert_int_equal(s->n_passt, 2);
    assert_int_equal(s->serial_logs[0], 2);
    assert_int_equal(s->qemu_log, 3);
    assert_int_equal(s->commit_log, 4);
}

static void the_least_launch_is_a_program_and_a_monitor(void **state)
{
    static const char text[] = "{\"argv\":[\"/q\"],\"fds\":[{\"fd\":3,\"role\":\"qmp\"}]}";
    struct err err = {0};
    CLEANUP(spec_freep) struct spec *s = spec_read(text, strlen(text), 0, &err);

    assert_non_null(s);
    assert_false(s->has_serial[0] || s->has_passt);
    assert_int_equal(s->serial_logs[0], -1);
    assert_int_equal(s->qemu_log, -1);
    assert_int_equal(s->commit_log, -1);
    assert_int_equal(s->file_max_bytes, 0);
}

static void the_bound_of_files_is_a_size(void **state)
{
    static const char good[] = "{\"argv\":[\"/q\"],\"fds\":[{\"fd\":3,\"role\":\"qmp\"}],"
                               "\"file_max_bytes\":5000000000}";
    static const char *const wrong[] = {"0", "-1", "\"1\"", "null", "1.5", "{}"};
    struct err err = {0};
    CLEANUP(spec_freep) struct spec *s = spec_read(good, strlen(good), 0, &err);

    assert_non_null(s);
    assert_int_equal(s->file_max_bytes, 5000000000);
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        char *text = str_format("{\"argv\":[\"/q\"],\"fds\":[{\"fd\":3,\"role\":\"qmp\"}],"
                                "\"file_max_bytes\":%s}",
                                wrong[i]);
        expect_refused(text, 0);
        free(text);
    }
}

#define QMP  "{\"fd\":3,\"role\":\"qmp\"}"
#define ARGV "\"argv\":[\"/q\"]"

static void wrong_shapes_are_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{",
                                        "{}",
                                        "{" ARGV "}",
                                        "{\"fds\":[" QMP "]}",
                                        "{\"argv\":[],\"fds\":[" QMP "]}",
                                        "{\"argv\":[\"qemu\"],\"fds\":[" QMP "]}",
                                        "{\"argv\":[1],\"fds\":[" QMP "]}",
                                        "{\"argv\":\"/q\",\"fds\":[" QMP "]}",
                                        "{\"argv\":[\"/q\\u0000x\"],\"fds\":[" QMP "]}",
                                        "{" ARGV ",\"fds\":{}}",
                                        "{" ARGV ",\"fds\":[1]}",
                                        "{" ARGV ",\"fds\":[]}",
                                        "{" ARGV ",\"fds\":[" QMP "],\"passt\":{}}",
                                        "{" ARGV ",\"fds\":[" QMP "],\"passt\":[1]}"};

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        expect_refused(wrong[i], 0);
}

static void places_are_in_range_and_unique(void **state)
{
    static const char *const entries[] = {
        "{\"fd\":2,\"role\":\"serial\"}",
        "{\"fd\":251,\"role\":\"serial\"}",
        "{\"fd\":-1,\"role\":\"serial\"}",
        "{\"fd\":\"4\",\"role\":\"serial\"}",
        "{\"fd\":3,\"role\":\"serial\"}",
        "{\"fd\":4,\"role\":\"qmp\"}",
        "{\"fd\":4,\"role\":\"root\"}",
        "{\"fd\":4}",
        "{\"role\":\"serial\"}",
        "{\"fd\":18446744073709551619,\"role\":\"serial\"}",
        "{\"input\":\"../x\",\"role\":\"file\",\"index\":0}",
        "{\"input\":\"\",\"role\":\"file\",\"index\":0}",
        "{\"input\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"role\":\"file\",\"index\":0}",
        "{\"input\":\"a\",\"fd\":9,\"role\":\"file\",\"index\":0}",
        "{\"input\":\"a\",\"role\":\"serial\"}"};

    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        char *text = str_format("{" ARGV ",\"fds\":[" QMP ",%s]}", entries[i]);
        expect_refused(text, 0);
        expect_refused(text, 1);
        free(text);
    }
}

static void each_descriptor_that_came_has_one_use(void **state)
{
    static const char file[] = "{" ARGV ",\"fds\":[" QMP ",{\"fd\":4,\"role\":\"file\",\"index\":0}"
                               "%s]%s}";
    char *twice = str_format(file, ",{\"fd\":5,\"role\":\"file\",\"index\":0}", "");
    char *log = str_format(file, "", ",\"logs\":{\"qemu\":0}");
    char *beyond = str_format(file, "", ",\"logs\":{\"qemu\":1}");
    char *unused = str_format(file, "", "");

    expect_refused(twice, 1);
    expect_refused(log, 1);
    expect_refused(beyond, 1);
    expect_refused(unused, 2);
    expect_refused(unused, 0);
    free(twice);
    free(log);
    free(beyond);
    free(unused);
}

static void too_much_is_refused(void **state)
{
    struct strbuf b = {0};

    strbuf_adds(&b, "{\"argv\":[\"/q\"");
    for (unsigned i = 0; i < JAIL_MAX_ARGS; i++)
        strbuf_adds(&b, ",\"-S\"");
    strbuf_adds(&b, "],\"fds\":[" QMP "]}");
    expect_refused(b.data, 0);
    strbuf_clear(&b);
    strbuf_adds(&b, "{" ARGV ",\"fds\":[" QMP);
    for (unsigned i = 4; i < 4 + 240; i++)
        strbuf_addf(&b, ",{\"fd\":%u,\"role\":\"file\",\"index\":%u}", i, i - 4);
    strbuf_adds(&b, "]}");
    expect_refused(b.data, 240);
    strbuf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_launch_is_read),
        cmocka_unit_test(the_least_launch_is_a_program_and_a_monitor),
        cmocka_unit_test(the_bound_of_files_is_a_size),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(places_are_in_range_and_unique),
        cmocka_unit_test(each_descriptor_that_came_has_one_use),
        cmocka_unit_test(too_much_is_refused),
    };

    return cmocka_run_group_tests_name("worker/spec", tests, NULL, NULL);
}
