/* Templates, copies of VMs, and VMs that run as soon as they are made. */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/template/template.h"

#include <string.h>

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static bool make(const char *text, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = json_loads(text, 0, NULL);
    struct uuid id;

    assert_non_null(body);
    return template_create(w.core, body, &world_admin, &id, err);
}

static void template(const char *name, const char *spec)
{
    CLEANUP(mem_freep) char *text = str_format("{\"name\":\"%s\",\"spec\":%s}", name, spec);
    struct err err = {0};

    if (!make(text, &err))
        fail_msg("%s", err.detail);
}

static void assert_refused(const char *spec, const char *field)
{
    CLEANUP(mem_freep) char *text = str_format("{\"name\":\"bad\",\"spec\":%s}", spec);
    struct err err = {0};

    assert_false(make(text, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, field);
}

static bool edit(const char *name, const char *patch, const uint64_t *revision, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(patch, 0, NULL);
    struct uuid id;

    return template_edit(w.core, name, json, revision, &world_admin, &id, err);
}

/* The template's member as JSON text; the buffer is static. */
static const char *shows(const char *name, const char *member)
{
    static char out[1024];
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *shown = template_show(w.core, name, NULL, &err);
    CLEANUP(mem_freep)
    char *text = shown ? json_dumps(json_object_get(shown, member),
                                    JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)
                       : str_dup(err_slug(err.code));

    str_copy(out, sizeof out, text);
    return out;
}

static void it_keeps_what_was_written_and_nothing_else(void **state)
{
    template("builder", "{\"vcpus\":2,\"profile\":\"windows-11\",\"cdroms\":null}");
    assert_string_equal(shows("builder", "spec"), "{\"profile\":\"windows-11\",\"vcpus\":2}");
    assert_string_equal(shows("builder", "revision"), "1");
    assert_string_equal(shows("builder", "created_by"), "\"test\"");
}

static void what_no_vm_could_be_is_refused_at_its_place(void **state)
{
    assert_refused("{\"name\":\"x\"}", "/spec/name");
    assert_refused("{\"vcpus\":0}", "/spec/vcpus");
    assert_refused("{\"sudo\":null}", "/spec/sudo");
    assert_refused("{\"cpu\":{\"sudo\":1}}", "/spec/cpu/sudo");
    assert_refused("{\"firmware\":{\"secure_boot\":true}}", "/spec/firmware/secure_boot");
    assert_refused("{\"nics\":[{\"mac\":\"52:54:00:12:34:56\"}]}", "/spec/nics/0/mac");
    assert_refused("{\"generation_id\":null}", "/spec/generation_id");
    assert_refused("[]", "/spec");
    assert_string_equal(shows("bad", "spec"), "not-found");
}

static void names_are_unique_and_free_again(void **state)
{
    struct err err = {0};

    template("one", "{}");
    assert_false(make("{\"name\":\"one\",\"spec\":{}}", &err));
    assert_int_equal(err.code, ERR_EXISTS);
    template("two", "{}");
    err = (struct err){0};
    assert_false(edit("two", "{\"name\":\"one\"}", NULL, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    err = (struct err){0};
    assert_true(edit("one", "{\"name\":\"three\"}", NULL, &err));
    assert_true(edit("two", "{\"name\":\"one\"}", NULL, &err));
    assert_true(template_delete(w.core, "three", NULL, &world_admin, &err));
    template("three", "{}");
}

static void a_patch_reaches_into_the_spec(void **state)
{
    const uint64_t one = 1, two = 2;
    struct err err = {0};

    template("builder", "{\"vcpus\":2,\"cpu\":{\"max_vcpus\":4,\"cores\":2},\"rng\":false}");
    assert_true(edit("builder",
                     "{\"spec\":{\"cpu\":{\"cores\":null},\"rng\":null,\"notes\":\"n\"}}", &one,
                     &err));
    assert_string_equal(shows("builder", "spec"),
                        "{\"cpu\":{\"max_vcpus\":4},\"notes\":\"n\",\"vcpus\":2}");
    assert_false(edit("builder", "{\"notes\":\"x\"}", &one, &err));
    assert_int_equal(err.code, ERR_REVISION);
    err = (struct err){0};
    assert_false(edit("builder", "{\"spec\":{\"vcpus\":9}}", &two, &err)); /* above max_vcpus */
    assert_string_equal(err.field, "/spec/cpu/max_vcpus");
    err = (struct err){0};
    assert_false(edit("builder", "{\"spec\":null}", NULL, &err));
    assert_string_equal(err.field, "/spec");
    assert_string_equal(shows("builder", "revision"), "2");
}

static void they_outlive_the_daemon(void **state)
{
    struct err err = {0};

    template("b", "{\"vcpus\":2}");
    template("a", "{\"vcpus\":3}");
    assert_true(edit("b", "{\"labels\":{\"k\":\"v\"}}", NULL, &err));
    world_close(&w);
    assert_true(world_open(&w));
    assert_string_equal(shows("b", "labels"), "{\"k\":\"v\"}");
    assert_string_equal(shows("b", "revision"), "2");
    assert_string_equal(shows("a", "spec"), "{\"vcpus\":3}");
}

static void a_write_that_fails_changes_nothing(void **state)
{
#ifdef VMMD_FAILPOINTS
    struct err err = {0};

    template("a", "{\"vcpus\":2}");
    failpoint_arm("template.write=fail");
    assert_false(edit("a", "{\"name\":\"b\"}", NULL, &err));
    failpoint_arm("template.write=fail");
    assert_false(make("{\"name\":\"c\",\"spec\":{}}", &err));
    failpoint_arm("template.remove=fail");
    assert_false(template_delete(w.core, "a", NULL, &world_admin, &err));
    failpoint_arm(NULL);
    assert_string_equal(shows("a", "revision"), "1");
    assert_string_equal(shows("b", "revision"), "not-found");
    assert_string_equal(shows("c", "revision"), "not-found");
#else
    skip();
#endif
}

/* ---- VMs from them ---- */

static void a_vm_is_made_with_what_the_request_says_on_top(void **state)
{
    template("win", "{\"profile\":\"windows-10\",\"vcpus\":4,\"cpu\":{\"max_vcpus\":8},"
                    "\"firmware\":{\"type\":\"bios\"},\"labels\":{\"a\":\"1\",\"b\":\"2\"},"
                    "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":2097152}]}");
    world_create(&w, "w1",
                 "\"template\":\"win\",\"cpu\":{\"max_vcpus\":16},\"labels\":{\"b\":\"3\"},"
                 "\"disks\":[{\"size_bytes\":1048576}],\"firmware\":null");
    assert_string_equal(world_vm(&w, "w1", "vcpus"), "4");
    assert_string_equal(world_vm(&w, "w1", "cpu.max_vcpus"), "16");
    assert_string_equal(world_vm(&w, "w1", "labels"), "{\"a\":\"1\",\"b\":\"3\"}");
    assert_string_equal(world_vm(&w, "w1", "firmware.type"), "uefi"); /* of the profile */
    assert_string_equal(world_vm(&w, "w1", "hyperv"), "true");
    assert_int_equal(world_files(&w), 1);
}

static void a_template_that_changes_leaves_its_vms_alone(void **state)
{
    struct err err = {0};

    template("t", "{\"vcpus\":2}");
    world_create(&w, "a", "\"template\":\"t\"");
    assert_true(edit("t", "{\"spec\":{\"vcpus\":3}}", NULL, &err));
    world_create(&w, "b", "\"template\":\"t\"");
    assert_true(template_delete(w.core, "t", NULL, &world_admin, &err));
    assert_string_equal(world_vm(&w, "a", "vcpus"), "2");
    assert_string_equal(world_vm(&w, "b", "vcpus"), "3");
}

static void a_copy_is_the_same_but_for_what_is_one_vms_alone(void **state)
{
    CLEANUP(mem_freep) char *disk = NULL, *generation = NULL;

    world_create(&w, "one",
                 "\"rng\":false,"
                 "\"disks\":[{\"size_bytes\":2097152,\"format\":\"raw\",\"bus\":\"scsi\"}]");
    disk = str_dup(world_vm(&w, "one", "disks"));
    generation = str_dup(world_vm(&w, "one", "generation_id"));
    world_create(&w, "two", "\"copy_of\":\"one\",\"vcpus\":2");
    assert_string_equal(world_vm(&w, "two", "rng"), "false");
    assert_string_equal(world_vm(&w, "two", "vcpus"), "2");
    assert_string_not_equal(world_vm(&w, "two", "generation_id"), generation);
    assert_string_not_equal(world_vm(&w, "two", "disks"), disk);
    assert_non_null(strstr(world_vm(&w, "two", "disks"), "\"bus\":\"scsi\""));
    assert_non_null(strstr(world_vm(&w, "two", "disks"), "\"size_bytes\":2097152"));
    assert_int_equal(world_files(&w), 2);
}

static void a_copy_has_a_mac_address_of_its_own(void **state)
{
    CLEANUP(json_decrefp) json_t *body = NULL, *patch = NULL, *vm = NULL;
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
    struct err err = {0};
    struct etag etag;
    bool start;

    world_create(&w, "one", "\"vcpus\":2");
    patch = json_loads("{\"nics\":[{\"mac\":\"52:54:00:00:00:01\"}]}", 0, NULL);
    vm = vm_edit(w.core, "one", patch, NULL, &world_admin, &etag, &err);
    assert_non_null(vm);
    body = json_loads("{\"name\":\"two\",\"copy_of\":\"one\"}", 0, NULL);
    assert_true(vm_create_decode(w.core, body, &spec, &start, &err));
    assert_int_equal(spec.n_nics, 1);
    assert_null(spec.nics[0].mac);
    assert_int_equal(spec.vcpus, 2);
    assert_false(start);
}

static void what_is_not_there_or_too_much_is_refused(void **state)
{
    static const struct {
        const char *more, *field;
        enum err_code code;
    } bad[] = {
        {"\"template\":\"none\"", "/template", ERR_NOT_FOUND},
        {"\"copy_of\":\"none\"", "/copy_of", ERR_NOT_FOUND},
        {"\"template\":7", "/template", ERR_INVALID},
        {"\"template\":\"\"", "/template", ERR_INVALID},
        {"\"template\":\"t\",\"copy_of\":\"a\"", "/copy_of", ERR_INVALID},
        {"\"template\":\"t\",\"sudo\":null", "/sudo", ERR_INVALID},
        {"\"template\":\"t\",\"vcpus\":0", "/vcpus", ERR_INVALID},
        {"\"start\":1", "/start", ERR_INVALID},
    };
    struct uuid op;

    template("t", "{}");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        assert_false(world_try_create(&w, "x", bad[i].more, &op, &err));
        assert_int_equal(err.code, bad[i].code);
        assert_string_equal(err.field, bad[i].field);
    }
}

/* ---- start: true ---- */

static void a_vm_runs_when_its_creation_has_ended(void **state)
{
    world_create(&w, "a", "\"start\":true");
    assert_string_equal(world_vm(&w, "a", "run.state"), "running");
    assert_string_equal(world_vm(&w, "a", "desired"), "running");
    assert_string_equal(world_vm(&w, "a", "job"), "null");
    world_create(&w, "b", "\"start\":true,\"disks\":[{\"size_bytes\":1048576}]");
    assert_string_equal(world_vm(&w, "b", "run.state"), "running");
    assert_string_equal(world_act(&w, "b", VM_VERB_STOP), "succeeded");
}

static void a_start_that_fails_leaves_the_vm_and_says_so(void **state)
{
#ifdef VMMD_FAILPOINTS
    CLEANUP(json_decrefp) json_t *end = NULL;
    struct err err = {0};
    struct uuid op;
    const char *detail;

    failpoint_arm("fake.start=fail");
    assert_true(world_try_create(&w, "a", "\"start\":true,\"disks\":[{\"size_bytes\":1048576}]",
                                 &op, &err));
    end = world_end_of(&w, &op);
    failpoint_arm(NULL);
    assert_string_equal(json_get_text(end, "state"), "failed");
    detail = json_get_text(json_object_get(end, "error"), "detail");
    assert_true(str_starts(detail, "the VM was created, but does not run: "));
    assert_string_equal(world_vm(&w, "a", "run.state"), "off");
    assert_string_equal(world_vm(&w, "a", "job"), "null");
    assert_int_equal(world_files(&w), 1);
    assert_string_equal(world_act(&w, "a", VM_VERB_START), "succeeded");
#else
    skip();
#endif
}

static void a_creation_that_fails_starts_nothing(void **state)
{
#ifdef VMMD_FAILPOINTS
    struct err err = {0};
    struct uuid op;

    failpoint_arm("disk.make=fail");
    assert_true(world_try_create(&w, "a", "\"start\":true,\"disks\":[{\"size_bytes\":1048576}]",
                                 &op, &err));
    json_decref(world_end_of(&w, &op));
    failpoint_arm(NULL);
    assert_false(world_has_vm(&w, "a"));
    assert_int_equal(world_files(&w), 0);
#else
    skip();
#endif
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(it_keeps_what_was_written_and_nothing_else),
        STORY(what_no_vm_could_be_is_refused_at_its_place),
        STORY(names_are_unique_and_free_again),
        STORY(a_patch_reaches_into_the_spec),
        STORY(they_outlive_the_daemon),
        STORY(a_write_that_fails_changes_nothing),
        STORY(a_vm_is_made_with_what_the_request_says_on_top),
        STORY(a_template_that_changes_leaves_its_vms_alone),
        STORY(a_copy_is_the_same_but_for_what_is_one_vms_alone),
        STORY(a_copy_has_a_mac_address_of_its_own),
        STORY(what_is_not_there_or_too_much_is_refused),
        STORY(a_vm_runs_when_its_creation_has_ended),
        STORY(a_start_that_fails_leaves_the_vm_and_says_so),
        STORY(a_creation_that_fails_starts_nothing),
    };

    return cmocka_run_group_tests_name("core/templates", tests, NULL, NULL);
}
