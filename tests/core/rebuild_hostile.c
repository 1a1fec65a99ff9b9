/* Copies that somebody has changed: what contradicts itself or others is refused with the reason,
 * and the rest is made all the same. */
#include "tests/core/recovering.h"

static void set_text(json_t *object, const char *key, const char *text)
{
    char *copy = str_dup(text); /* it may be of the same document */

    json_object_set_new(object, key, json_string(copy));
    free(copy);
}

/* ---- hostile copies ---- */

static void shares_its_leaf(json_t *copy, json_t *other)
{
    json_object_set(item(copy, "disks", 0), "leaf",
                    json_object_get(item(other, "disks", 0), "leaf"));
    json_array_append(json_object_get(copy, "files"), item(other, "files", 0));
}

static void takes_anothers_file(json_t *copy, json_t *other)
{
    json_t *file = json_deep_copy(item(other, "files", 0));

    json_object_set(file, "vm", json_object_get(copy, "id"));
    json_array_append_new(json_object_get(copy, "files"), file);
}

static void lies_on_itself(json_t *copy, json_t *other)
{
    set_text(item(copy, "files", 0), "parent", json_get_text(item(copy, "files", 0), "id"));
}

static void has_a_file_twice(json_t *copy, json_t *other)
{
    json_array_append(json_object_get(copy, "files"), item(copy, "files", 0));
}

static void has_no_leaf(json_t *copy, json_t *other)
{
    json_array_clear(json_object_get(copy, "files"));
}

static void is_of_another_vm(json_t *copy, json_t *other)
{
    set_text(copy, "id", json_get_text(other, "id"));
}

static void is_newer_than_we_are(json_t *copy, json_t *other)
{
    json_object_set_new(copy, "version", json_integer(99));
}

static void names_a_path(json_t *copy, json_t *other)
{
    set_text(item(copy, "files", 0), "pool", "../../../etc");
}

static void has_anothers_name(json_t *copy, json_t *other)
{
    json_object_set(json_object_get(copy, "spec"), "name",
                    json_object_get(json_object_get(other, "spec"), "name"));
}

static void a_copy_that_contradicts_is_refused_and_the_rest_is_made(void **state)
{
    static const struct {
        void (*change)(json_t *copy, json_t *other);
        const char *why;
    } cases[] = {
        {shares_its_leaf, "writes to"},
        {takes_anothers_file, "belongs to another VM"},
        {lies_on_itself, "go in a circle"},
        {has_a_file_twice, "is in it twice"},
        {has_no_leaf, "is not in it"},
        {is_of_another_vm, "of another VM"},
        {is_newer_than_we_are, "a newer vmmd"},
        {names_a_path, "must be a UUID"},
        {has_anothers_name, "is called good as well"},
    };
    CLEANUP(json_decrefp) json_t *bad = NULL, *good = NULL;
    char id[UUID_TEXT], good_id[UUID_TEXT];

    world_create(&w, "bad", ONE);
    world_create(&w, "good", ONE);
    id_of("bad", id);
    id_of("good", good_id);
    lose_database();
    forget_roots();
    bad = read_copy(id);
    good = read_copy(good_id);
    json_object_set_new(good, "generation", json_integer(INT64_C(1) << 40)); /* it is believed */
    write_copy(good_id, json_incref(good));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(json_decrefp) json_t *report = NULL;
        json_t *changed = json_deep_copy(bad);
        cases[i].change(changed, good);
        write_copy(id, changed);
        report = recover(false, false);
        is_judged(report, id, "refused", cases[i].why);
        is_judged(report, "good", "whole", NULL);
    }
    json_decref(come_back());
    assert_false(world_has_vm(&w, "bad"));
    act("good", VM_VERB_START);
    assert_int_equal(world_files(&w), 2); /* the disk of the other one stays */
}

static void a_copy_that_is_no_json_is_refused(void **state)
{
    CLEANUP(json_decrefp) json_t *report = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(closep) int fd = -1;
    char id[UUID_TEXT];

    world_create(&w, "web", ONE);
    id_of("web", id);
    lose_database();
    forget_roots();
    path = copy_path(id);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 100), 0);
    report = recover(false, false);
    is_judged(report, id, "refused", "no JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_copy_that_contradicts_is_refused_and_the_rest_is_made),
        STORY(a_copy_that_is_no_json_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
