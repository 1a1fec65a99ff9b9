/* The language of lists: filter, fields, order, page tokens. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/model/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *vm(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);

    assert_non_null(v);
    return v;
}

static const char web[] =
    "{\"id\":\"1\",\"name\":\"ci-web,1\",\"state\":\"running\",\"notes\":null,\"memory_bytes\":"
    "1024,"
    "\"labels\":{\"ci\":\"true\",\"a.b\":\"c\"},\"run\":{\"state\":\"running\",\"detail\":\"\"},"
    "\"boot\":{\"kernel\":\"tiny\"},\"created_at\":\"2026-11-21T01:02:03.456Z\","
    "\"disks\":[{\"pool\":\"main\",\"size_bytes\":5},{\"pool\":\"fast\",\"size_bytes\":7}],"
    "\"revision\":3}";

static bool holds(const char *filter)
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(json_decrefp) json_t *v = vm(web);
    const struct query_ask ask = {.filter = filter, .page_size = 1};
    struct err err = {0};

    if (!query_parse(&schema_vm, &ask, &q, &err))
        fail_msg("%s: %s", filter, err.detail);
    return query_matches(&q, v);
}

static void a_filter_compares_by_the_members_type(void **state)
{
    static const char *const true_ones[] = {
        "",
        "state==running",
        "state!=off",
        "name==ci-web\\,1",
        "name~=ci-*",
        "name~=*",
        "name~=*web*1",
        "name~=ci-web\\,1",
        "memory_bytes>=1024",
        "memory_bytes<1025,memory_bytes>1023",
        "memory_bytes<=1024",
        "memory_bytes!=1",
        "memory_bytes!=2048",
        "label.ci==true",
        "labels.a.b==c",
        "label.other!=x",
        "label.other==",
        "label.ci!=",
        "notes==",
        "run.detail==",
        "run.state~=run*",
        "boot.kernel==tiny",
        "disks.pool==fast",
        "disks.size_bytes>6",
        "disks.pool!=slow",
        "created_at>2026-11-21",
        "created_at>=2026-11-21T01:02:03.456Z",
        "created_at<2026-11-21T01:02:03.457Z",
        "created_at<2026-11-21T01:03Z",
        "state==running, revision==3",
    };
    static const char *const false_ones[] = {
        "state==off",
        "memory_bytes!=1024",
        "revision!=3",
        "created_at!=2026-11-21T01:02:03.456Z",
        "name~=ci",
        "name~=\\*",
        "name==CI-web\\,1",
        "memory_bytes>1024",
        "label.ci!=true",
        "label.other~=?*",
        "notes!=",
        "disks.pool!=fast", /* one of them is */
        "disks.size_bytes>7",
        "created_at<2026-11-21",
        "state==running,revision==4",
        "vcpus==1", /* the object has none */
        "run.accel!=",
    };

    for (size_t i = 0; i < ARRAY_LEN(true_ones); i++)
        if (!holds(true_ones[i]))
            fail_msg("should hold: %s", true_ones[i]);
    for (size_t i = 0; i < ARRAY_LEN(false_ones); i++)
        if (holds(false_ones[i]))
            fail_msg("should not hold: %s", false_ones[i]);
}

static void refused(struct query_ask ask, const char *field, const char *words)
{
    struct err err = {0};
    struct query q;

    ask.page_size = 10;
    if (query_parse(&schema_vm, &ask, &q, &err))
        fail_msg("%s %s %s is taken", ask.filter, ask.fields, ask.order);
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, field);
    if (!strstr(err.detail, words))
        fail_msg("'%s' does not say '%s'", err.detail, words);
}

static void a_mistake_is_shown_where_it_is(void **state)
{
    refused((struct query_ask){.filter = "nonsense"}, "?filter/0", "there are: id, state");
    refused((struct query_ask){.filter = "state==running,shade==x"}, "?filter/1", "'shade'");
    refused((struct query_ask){.filter = "state=running"}, "?filter/0", "one of ==");
    refused((struct query_ask){.filter = "state==asleep"}, "?filter/0",
            "creating, deleting, saving");
    refused((struct query_ask){.filter = "state==off,"}, "?filter/1", "after ','");
    refused((struct query_ask){.filter = "memory_bytes>=big"}, "?filter/0", "whole number");
    refused((struct query_ask){.filter = "memory_bytes~=1*"}, "?filter/0", "texts only");
    refused((struct query_ask){.filter = "name>=a"}, "?filter/0", "numbers and times");
    refused((struct query_ask){.filter = "memory_bytes>="}, "?filter/0", "missing");
    refused((struct query_ask){.filter = "created_at>yesterday"}, "?filter/0", "2026-11-21");
    refused((struct query_ask){.filter = "created_at>2026-11-21T01:02:03"}, "?filter/0", "time");
    refused((struct query_ask){.filter = "disks==main"}, "?filter/0", "cannot compare 'disks'");
    refused((struct query_ask){.filter = "label.==x"}, "?filter/0", "cannot compare");
    refused((struct query_ask){.filter = "boot..kernel==x"}, "?filter/0", "cannot compare");
    refused((struct query_ask){.fields = "name,shape"}, "?fields/1", "cannot show");
    refused((struct query_ask){.fields = ""}, "?fields/0", "cannot show");
    refused((struct query_ask){.order = "name,-disks.pool"}, "?order/1", "cannot order by");
    refused((struct query_ask){.order = "notes"}, "?order/0", "cannot order by");
    refused((struct query_ask){.order = "name,id,state,revision"}, "?order/3", "up to 3");
    refused((struct query_ask){.page_token = "00"}, "?page_token", "first page");
    refused((struct query_ask){.page_token = "zz"}, "?page_token", "first page");
}

static void too_much_is_refused(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf many = {0}, longest = {0};

    for (unsigned i = 0; i < 17; i++)
        strbuf_addf(&many, "%sname==x", i ? "," : "");
    refused((struct query_ask){.filter = many.data}, "?filter/16", "up to 16");
    strbuf_adds(&longest, "name==");
    for (unsigned i = 0; i < 300; i++)
        strbuf_adds(&longest, "x");
    refused((struct query_ask){.filter = longest.data}, "?filter/0", "254 bytes");
}

static void a_pattern_of_stars_takes_no_time(void **state)
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(json_decrefp) json_t *v = json_object();
    CLEANUP(strbuf_clear) struct strbuf text = {0}, filter = {0};
    const struct query_ask *ask;
    struct err err = {0};

    for (unsigned i = 0; i < 4096; i++)
        strbuf_adds(&text, "a");
    strbuf_adds(&filter, "notes~=");
    for (unsigned i = 0; i < 120; i++)
        strbuf_adds(&filter, "*a");
    strbuf_adds(&filter, "b");
    json_put_text(v, "notes", text.data);
    ask = &(struct query_ask){.filter = filter.data, .page_size = 1};
    assert_true(query_parse(&schema_vm, ask, &q, &err));
    assert_false(query_matches(&q, v));
}

static char *projected(const char *fields)
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(json_decrefp) json_t *v = vm(web), *out = NULL;
    const struct query_ask ask = {.fields = fields, .page_size = 1};
    struct err err = {0};

    if (!query_parse(&schema_vm, &ask, &q, &err))
        fail_msg("%s: %s", fields, err.detail);
    out = query_project(&q, v);
    return json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
}

static void fields_show_a_part(void **state)
{
    static const struct {
        const char *fields, *is;
    } cases[] = {
        {"name", "{\"name\":\"ci-web,1\"}"},
        {"run.state,revision", "{\"revision\":3,\"run\":{\"state\":\"running\"}}"},
        {"run,run.state", "{\"run\":{\"detail\":\"\",\"state\":\"running\"}}"},
        {"run.state,run", "{\"run\":{\"detail\":\"\",\"state\":\"running\"}}"},
        {"disks.pool", "{\"disks\":[{\"pool\":\"main\"},{\"pool\":\"fast\"}]}"},
        {"disks.pool,disks.size_bytes",
         "{\"disks\":[{\"pool\":\"main\",\"size_bytes\":5},{\"pool\":\"fast\",\"size_bytes\":7}]}"},
        {"label.ci", "{\"labels\":{\"ci\":\"true\"}}"},
        {"labels", "{\"labels\":{\"a.b\":\"c\",\"ci\":\"true\"}}"},
        {"label.none", "{\"labels\":{}}"},
        {"notes", "{\"notes\":null}"},
        {"boot", "{\"boot\":{\"kernel\":\"tiny\"}}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = projected(cases[i].fields);
        assert_string_equal(text, cases[i].is);
        free(text);
    }
}

/* ---- pages ---- */

/* Object 'i' of a list with repeating sizes; names come in another order than ids. */
static json_t *object(unsigned i)
{
    char id[16], name[16];
    json_t *v = json_object();

    snprintf(id, sizeof id, "%04u", i);
    snprintf(name, sizeof name, "n%04u", (i * 37) % 1009);
    json_put_text(v, "id", id);
    json_put_text(v, "name", name);
    json_put_u64(v, "memory_bytes", i % 5);
    json_put_text(v, "notes", i % 3 ? "x" : NULL);
    return v;
}

/* One page of the objects 0..n, without those that 'gone' divides; counts what is on it. */
static char *one_page(const char *filter, const char *order, const char *token, unsigned n,
                      unsigned gone, unsigned *seen, char ids[][16])
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(page_clear) struct page page = {.query = &q};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;
    const struct query_ask ask = {
        .filter = filter, .order = order, .page_token = token, .page_size = 7};
    struct err err = {0};
    json_t *item;
    size_t i;

    if (!query_parse(&schema_vm, &ask, &q, &err))
        fail_msg("%s", err.detail);
    for (unsigned k = 0; k < n; k++)
        if (!gone || k % gone)
            page_offer(&page, object(k));
    page_write(&page, NULL, NULL, &text);
    list = json_loads(text.data, 0, NULL);
    json_array_foreach (json_object_get(list, "items"), i, item)
        str_copy(ids[(*seen)++], 16, json_get_text(item, "id"));
    return str_dup(json_get_text(list, "next_page_token"));
}

static unsigned all_pages(const char *filter, const char *order, unsigned gone, char ids[][16])
{
    char *token = NULL, *next;
    unsigned seen = 0;

    do {
        next = one_page(filter, order, token, 200, token ? gone : 0, &seen, ids);
        free(token);
        token = next;
    } while (token);
    return seen;
}

static void every_object_is_on_one_page_in_every_order(void **state)
{
    static const char *const orders[] = {
        NULL,           "name",  "-name", "memory_bytes,-name", "-memory_bytes",
        "memory_bytes", "state", "-id"};
    static char ids[400][16];

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        bool met[200] = {0};
        assert_int_equal(all_pages("", orders[i], 0, ids), 200);
        for (unsigned k = 0; k < 200; k++)
            met[atoi(ids[k])] = true;
        for (unsigned k = 0; k < 200; k++)
            assert_true(met[k]);
    }
    assert_int_equal(all_pages("notes!=", "-memory_bytes", 0, ids), 133);
}

static void ties_go_by_id_and_the_keys_rule(void **state)
{
    static char ids[400][16];

    all_pages("", "memory_bytes", 0, ids);
    for (unsigned k = 1; k < 200; k++)
        assert_true((atoi(ids[k - 1]) % 5) * 1000 + atoi(ids[k - 1]) <
                    (atoi(ids[k]) % 5) * 1000 + atoi(ids[k]));
}

/* What goes between two pages is missing; what stays is neither lost nor doubled. */
static void pages_survive_what_is_deleted_in_between(void **state)
{
    static char ids[400][16];
    unsigned n = all_pages("", "-memory_bytes", 2, ids);
    bool met[200] = {0};

    for (unsigned k = 0; k < n; k++) {
        assert_false(met[atoi(ids[k])]);
        met[atoi(ids[k])] = true;
    }
    for (unsigned k = 1; k < 200; k += 2)
        assert_true(met[k]);
}

static void a_token_belongs_to_its_filter_and_order(void **state)
{
    static char ids[400][16];
    unsigned seen = 0;
    char *token = one_page("notes==x", "name", NULL, 100, 0, &seen, ids);

    refused((struct query_ask){.filter = "notes==x", .order = "-name", .page_token = token},
            "?page_token", "first page");
    refused((struct query_ask){.filter = "notes==y", .order = "name", .page_token = token},
            "?page_token", "first page");
    free(token);
}

/* So a list may go by an index instead of through all there is. */
static void a_word_that_no_object_can_have_is_ruled_out(void **state)
{
    static const struct {
        const char *filter;
        bool admits;
    } rows[] = {
        {NULL, true},
        {"state==failed", true},
        {"state!=queued,kind==vm.start", true},
        {"state==running", false},
        {"state!=failed", false},
        {"kind~=vm.*,state!=failed,state!=queued", false},
        {"kind==failed", true},
        {"object.name==x", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(query_clear) struct query q = {0};
        const struct query_ask ask = {.filter = rows[i].filter, .page_size = 1};
        struct err err = {0};
        if (!query_parse(&schema_operation, &ask, &q, &err))
            fail_msg("%s: %s", rows[i].filter, err.detail);
        if (query_admits(&q, "state", "failed") != rows[i].admits)
            fail_msg("%s", rows[i].filter);
    }
}

/* Every member that can be ordered by or compared in one list can be found by its path. */
static void the_schemas_hold(void **state)
{
    static const struct query_schema *const all[] = {
        &schema_vm, &schema_operation, &schema_event, &schema_token, &schema_pool, &schema_disk};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < all[i]->n_fields; k++) {
            CLEANUP(query_clear) struct query q = {0};
            const struct query_ask ask = {.fields = all[i]->fields[k].path, .page_size = 1};
            struct err err = {0};
            assert_true(query_parse(all[i], &ask, &q, &err));
            assert_true(q.default_order);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_compares_by_the_members_type),
        cmocka_unit_test(a_mistake_is_shown_where_it_is),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(a_pattern_of_stars_takes_no_time),
        cmocka_unit_test(fields_show_a_part),
        cmocka_unit_test(every_object_is_on_one_page_in_every_order),
        cmocka_unit_test(ties_go_by_id_and_the_keys_rule),
        cmocka_unit_test(pages_survive_what_is_deleted_in_between),
        cmocka_unit_test(a_token_belongs_to_its_filter_and_order),
        cmocka_unit_test(a_word_that_no_object_can_have_is_ruled_out),
        cmocka_unit_test(the_schemas_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
