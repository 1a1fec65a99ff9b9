/* WORKER_PIVOT as main may write it, and as a hostile one would. */
#include "tests/lib/harness.h"

#include "core/base/commitlog.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "vmmd/worker/pivot_ask.h"

#include <stdio.h>
#include <string.h>

#define JOB    "11111111-0000-4000-8000-000000000001"
#define DISK_A "22222222-0000-4000-8000-00000000000a"
#define DISK_B "22222222-0000-4000-8000-00000000000b"
#define FILE_A "33333333-0000-4000-8000-00000000000a"
#define FILE_B "33333333-0000-4000-8000-00000000000b"
#define LEAF_A "{\"disk\":\"" DISK_A "\",\"file\":\"" FILE_A "\"}"
#define LEAF_B "{\"disk\":\"" DISK_B "\",\"file\":\"" FILE_B "\"}"

static void what_is_read_is_what_will_be_written(void **state)
{
    static const char text[] = "{\"jobs\":[\"fa\",\"fb\"],\"more\":1,\"record\":{\"job\":\"" JOB
                               "\",\"leaves\":[" LEAF_A "," LEAF_B "],\"undone\":true}}";
    struct err err = {0};
    CLEANUP(pivot_ask_freep) struct pivot_ask *ask = pivot_ask_read(text, strlen(text), &err);

    assert_non_null(ask);
    assert_int_equal(ask->n, 2);
    assert_string_equal(ask->jobs[1], "fb");
    assert_string_equal(ask->record, "{\"leaves\":[" LEAF_A "," LEAF_B "],\"job\":\"" JOB "\"}");
}

static void a_request_that_is_wrong_in_any_part_is_refused(void **state)
{
#define RECORD(leaves) "\"record\":{\"job\":\"" JOB "\",\"leaves\":[" leaves "]}"
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"jobs\":[\"fa\"]}",
        "{" RECORD(LEAF_A) "}",
        "{\"jobs\":\"fa\"," RECORD(LEAF_A) "}",
        "{\"jobs\":[]," RECORD("") "}",
        "{\"jobs\":[7]," RECORD(LEAF_A) "}",
        "{\"jobs\":[\"\"]," RECORD(LEAF_A) "}",
        "{\"jobs\":[\"f/a\"]," RECORD(LEAF_A) "}",
        "{\"jobs\":[\"fa\",\"fa\"]," RECORD(LEAF_A "," LEAF_B) "}",
        "{\"jobs\":[\"fa\",\"fb\"]," RECORD(LEAF_A) "}",
        "{\"jobs\":[\"fa\"]," RECORD(LEAF_A "," LEAF_B) "}",
        "{\"jobs\":[\"fa\",\"fb\"]," RECORD(LEAF_A "," LEAF_A) "}",
        "{\"jobs\":[\"fa\"]," RECORD("{\"disk\":\"" DISK_A "\"}") "}",
        "{\"jobs\":[\"fa\"]," RECORD("{\"disk\":\"x\",\"file\":\"" FILE_A "\"}") "}",
        "{\"jobs\":[\"fa\"],\"record\":{\"leaves\":[" LEAF_A "]}}",
        "{\"jobs\":[\"fa\"],\"record\":{\"job\":7,\"leaves\":[" LEAF_A "]}}",
        "{\"jobs\":[\"fa\"],\"record\":7}",
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct err err = {0};
        struct pivot_ask *ask = pivot_ask_read(wrong[i], strlen(wrong[i]), &err);
        if (ask)
            fail_msg("accepted: %s", wrong[i]);
        assert_true(err.code == ERR_INVALID || err.code == ERR_MALFORMED);
        assert_true(strlen(err.detail) > 5);
    }
}

/* As many disks as there may be fit into a slot; one more is refused. */
static json_t *many(unsigned n)
{
    json_t *jobs = json_array(), *leaves = json_array();

    for (unsigned i = 0; i < n; i++) {
        char job[16], disk[40];
        snprintf(job, sizeof job, "f%u", i);
        snprintf(disk, sizeof disk, "22222222-0000-4000-8000-%012u", i);
        json_array_append_new(jobs, json_string(job));
        json_array_append_new(leaves, json_pack("{s:s,s:s}", "disk", disk, "file", FILE_A));
    }
    return json_pack("{s:o,s:{s:s,s:o}}", "jobs", jobs, "record", "job", JOB, "leaves", leaves);
}

static void as_many_disks_as_may_be_fit_into_a_slot(void **state)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        CLEANUP(json_decrefp) json_t *json = many(WORKER_PIVOT_MAX + extra);
        CLEANUP(mem_freep) char *text = json_write(json);
        struct err err = {0};
        CLEANUP(pivot_ask_freep) struct pivot_ask *ask = pivot_ask_read(text, strlen(text), &err);
        assert_int_equal(ask != NULL, !extra);
        if (ask)
            assert_true(strlen(ask->record) <= COMMITLOG_TEXT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_will_be_written),
        cmocka_unit_test(a_request_that_is_wrong_in_any_part_is_refused),
        cmocka_unit_test(as_many_disks_as_may_be_fit_into_a_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
