/* The chain of hashes of the audit trail: what it is, and that nothing can be changed unseen. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/chain.h"

#include <string.h>

static json_t *records; /* three of them, in their chain */

static json_t *make_record(uint64_t seq, const uint8_t prev[CHAIN_HASH], const char *who,
                           uint8_t hash[CHAIN_HASH])
{
    json_t *r =
        json_pack("{s:s,s:s,s:{s:i}}", "result", "done", "principal", who, "changes", "/vcpus", 4);
    CLEANUP(mem_freep) char *body = chain_body(r);
    char text[CHAIN_TEXT];

    chain_hash(prev, seq, body, hash);
    json_put_u64(r, "seq", seq);
    chain_text(prev, text);
    json_put_text(r, "prev", text);
    chain_text(hash, text);
    json_put_text(r, "hash", text);
    return r;
}

static int begin(void **state)
{
    uint8_t hash[CHAIN_HASH] = {0}, prev[CHAIN_HASH];

    records = json_array();
    for (uint64_t seq = 1; seq <= 3; seq++) {
        memcpy(prev, hash, sizeof prev);
        json_array_append_new(records, make_record(seq, prev, "token:ci", hash));
    }
    return 0;
}

static int end(void **state)
{
    json_decref(records);
    return 0;
}

/* The number of good records; the reason why the next one is not goes to *err. */
static uint64_t count_good(struct err *err)
{
    struct chain_check check = {0};
    const json_t *one;
    size_t i;

    json_array_foreach (records, i, one) {
        if (!chain_next(&check, one, err))
            break;
    }
    return check.n;
}

static void a_hash_is_what_the_documentation_says(void **state)
{
    static const char expected[] = /* printf '%064d\n1\n{"a":1}' 0 | sha256sum */
        "58a8b64ede0a31c39c4c0afb728c913a6b777e6ee987ceea8e4264a089470621";
    static const uint8_t zero[CHAIN_HASH];
    CLEANUP(json_decrefp) json_t *r = json_pack("{s:i,s:i,s:s}", "a", 1, "seq", 9, "hash", "x");
    CLEANUP(mem_freep) char *body = chain_body(r);
    uint8_t hash[CHAIN_HASH];
    char text[CHAIN_TEXT];

    assert_string_equal(body, "{\"a\":1}");
    chain_hash(zero, 1, body, hash);
    chain_text(hash, text);
    assert_string_equal(text, expected);
}

static void records_that_nobody_touched_follow_from_each_other(void **state)
{
    struct err err = {0};

    assert_int_equal(count_good(&err), 3);
    json_array_remove(records, 0); /* the oldest was trimmed */
    assert_int_equal(count_good(&err), 2);
}

static void a_change_is_seen_where_it_was_made(void **state)
{
    struct err err = {0};

    json_object_set_new(json_array_get(records, 1), "principal", json_string("token:mallory"));
    assert_int_equal(count_good(&err), 1);
    assert_non_null(strstr(err.detail, "record 2 was changed"));
}

static void a_record_that_was_made_anew_does_not_fit_the_next(void **state)
{
    uint8_t prev[CHAIN_HASH], hash[CHAIN_HASH];
    struct err err = {0};

    assert_true(chain_parse(json_get_text(json_array_get(records, 0), "hash"), prev));
    json_array_set_new(records, 1, make_record(2, prev, "token:mallory", hash));
    assert_int_equal(count_good(&err), 2);
    assert_non_null(strstr(err.detail, "record 3 does not follow"));
}

static void one_that_was_left_out_is_missed(void **state)
{
    struct err err = {0};

    json_array_remove(records, 1);
    assert_int_equal(count_good(&err), 1);
    assert_non_null(strstr(err.detail, "missing"));
}

static void what_is_no_record_is_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"seq\":1}",
        "{\"seq\":1,\"prev\":\"\",\"hash\":\"\"}",
        "{\"seq\":1,\"prev\":\"zz\",\"hash\":1}",
    };
    struct chain_check check = {0};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        CLEANUP(json_decrefp) json_t *r = json_loads(bad[i], 0, NULL);
        assert_false(chain_next(&check, r, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_int_equal(check.n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_is_what_the_documentation_says),
        TEST(records_that_nobody_touched_follow_from_each_other),
        TEST(a_change_is_seen_where_it_was_made),
        TEST(a_record_that_was_made_anew_does_not_fit_the_next),
        TEST(one_that_was_left_out_is_missed),
        cmocka_unit_test(what_is_no_record_is_refused),
    };

    return cmocka_run_group_tests_name("unit/model_chain", tests, NULL, NULL);
}
