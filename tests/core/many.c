/* Ten thousand definitions: lists, single reads, memory and the next start. */
#include "core/vm/registry.h"
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY  10000
#define TEAMS 100

static struct world w;

/* Bytes that are allocated. Under the sanitizer malloc is not the C library's. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                   : mallinfo2().uordblks;
}

/* Rows as a daemon would have written them, in few transactions: what is looked at here is what
 * comes after. */
static void write_rows(void)
{
    CLEANUP(json_decrefp) json_t *json = NULL;
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
    struct err err = {0};

    json = json_pack("{s:s,s:s,s:[]}", "name", "x", "backend", "fake", "nics");
    assert_true(model_decode(&vm_model, json, MODEL_CLIENT, &spec, &err));
    for (unsigned i = 0; i < MANY;) {
        struct store_txn *txn = store_begin(w.core->store, &err);

        for (unsigned k = 0; k < 1000; k++, i++) {
            char name[16], team[8];
            struct vm_record row = {.id = uuid_new(),
                                    .name = name,
                                    .phase = "defined",
                                    .run = "off",
                                    .reason = "",
                                    .desired = "off",
                                    .slot = NO_SLOT,
                                    .revision = 1,
                                    .state_revision = 1,
                                    .created_ms = 1700000000000 + i,
                                    .updated_ms = 1700000000000 + i,
                                    .state_since_ms = 1700000000000 + i};
            CLEANUP(json_decrefp) json_t *one = model_encode(&vm_model, &spec);
            CLEANUP(mem_freep) char *text = NULL;

            snprintf(name, sizeof name, "vm-%05u", i * 7919 % MANY);
            snprintf(team, sizeof team, "t%02u", i % TEAMS);
            json_put_text(one, "name", name);
            json_put(one, "labels", json_pack("{s:s}", "team", team));
            text = json_write(one);
            row.spec = text;
            assert_true(store_vm_put(txn, &row, &err));
        }
        assert_true(store_commit(&txn, &err));
    }
}

static int setup(void **state)
{
    world_make(&w);
    write_rows();
    world_close(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static json_t *list(struct query_ask ask)
{
    struct err err = {0};
    json_t *page = world_list(&w, &schema_vm, ask, &err);

    if (!page)
        fail_msg("%s", err.detail);
    return page;
}

/* Walks all pages; every name once and in order. */
static unsigned walk(struct query_ask ask, int order)
{
    char last[64] = "";
    unsigned n = 0;
    char *token = NULL;

    do {
        CLEANUP(json_decrefp) json_t *page = NULL;
        json_t *item;
        size_t i;

        ask.page_token = token;
        page = list(ask);
        json_array_foreach (json_object_get(page, "items"), i, item) {
            const char *name = json_get_text(item, "name");
            assert_true(!last[0] || strcmp(name, last) * order > 0);
            str_copy(last, sizeof last, name);
            n++;
        }
        free(token);
        token = str_dup(json_get_text(page, "next_page_token"));
    } while (token);
    return n;
}

static void a_start_takes_little_time_and_memory(void **state)
{
    size_t before = allocated();
    int64_t began = clock_mono_ms();

    assert_true(world_open(&w));
    print_message("start: %lld ms; %zu bytes a VM\n", (long long)(clock_mono_ms() - began),
                  (allocated() - before) / MANY);
    assert_true((allocated() - before) / MANY < 4096);
    assert_true(clock_mono_ms() - began < 60000); /* with sanitizers, on a busy machine */
}

static void pages_are_complete_and_in_order(void **state)
{
    assert_int_equal(walk((struct query_ask){.page_size = 1000}, 1), MANY);
    assert_int_equal(
        walk((struct query_ask){.page_size = 997, .fields = "name", .order = "-name"}, -1), MANY);
}

static void a_filter_finds_its_hundredth(void **state)
{
    assert_int_equal(walk((struct query_ask){.filter = "label.team==t42", .page_size = 30}, 1),
                     MANY / TEAMS);
    assert_int_equal(walk((struct query_ask){.filter = "name~=vm-0000*"}, 1), 10);
}

static void a_deleted_vm_leaves_every_list(void **state)
{
    CLEANUP(json_decrefp) json_t *first = NULL, *rest = NULL;

    first = list((struct query_ask){.page_size = 1});
    assert_string_equal(world_delete(&w, "vm-00000"), "succeeded");
    assert_string_equal(world_delete(&w, "vm-00001"), "succeeded");
    rest = list(
        (struct query_ask){.page_size = 1, .page_token = json_get_text(first, "next_page_token")});
    assert_string_equal(json_get_text(json_array_get(json_object_get(rest, "items"), 0), "name"),
                        "vm-00002");
    assert_int_equal(walk((struct query_ask){.page_size = 1000, .fields = "name"}, 1), MANY - 2);
}

/* Texts are kept up to a bound, however many VMs are read. */
static void reading_all_of_them_keeps_a_bounded_part(void **state)
{
    struct registry *r = &w.core->registry;
    struct vm *vm;
    size_t kept;

    lock_take(&r->lock);
    r->shown_max = 1 << 20;
    while ((vm = r->shown))
        shown_drop(r, vm);
    lock_drop(&r->lock);
    assert_int_equal(walk((struct query_ask){.page_size = 1000}, 1), MANY - 2);
    lock_take(&r->lock);
    kept = r->shown_bytes;
    lock_drop(&r->lock);
    assert_in_range(kept, 1 << 19, 1 << 20);
}

static void what_is_made_and_deleted_leaves_nothing_in_memory(void **state)
{
    size_t before = 0, after;

    for (unsigned i = 0; i < 60; i++) {
        if (i == 20)
            before = allocated();
        world_create(&w, "cycle", "");
        assert_string_equal(world_delete(&w, "cycle"), "succeeded");
    }
    after = allocated();
    assert_true(after <= before + before / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_takes_little_time_and_memory),
        cmocka_unit_test(pages_are_complete_and_in_order),
        cmocka_unit_test(a_filter_finds_its_hundredth),
        cmocka_unit_test(a_deleted_vm_leaves_every_list),
        cmocka_unit_test(reading_all_of_them_keeps_a_bounded_part),
        cmocka_unit_test(what_is_made_and_deleted_leaves_nothing_in_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
