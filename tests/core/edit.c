/* Editing on the fake backend: renaming, what applies to a running VM at once, media. */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/disk/media.h"
#include "core/event/event.h"
#include "core/job/job.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct world w;

/* Tests that need failpoints are skipped in a build without them. */
#ifdef VMMD_FAILPOINTS
static void fail_at(const char *point)
{
    CLEANUP(mem_freep) char *spec = str_format("%s=fail", point);

    failpoint_arm(spec);
}

static void fail_nowhere(void)
{
    failpoint_arm(NULL);
}
#else
static void fail_at(const char *point)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    skip();
}

static void fail_nowhere(void)
{
}
#endif

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    fail_nowhere();
    world_remove(&w);
    return 0;
}

/* The slug of the refusal, or NULL. */
static const char *edit(const char *ref, const char *patch, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(patch, 0, NULL);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct etag etag;

    assert_non_null(json);
    *err = (struct err){0};
    vm = vm_edit(w.core, ref, json, NULL, &world_admin, &etag, err);
    return vm ? NULL : err_slug(err->code);
}

static void put_medium(const char *root, const char *name, const char *content)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-%s/media/%s", w.dir, root, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
}

/* ---- names ---- */

static void a_renamed_vm_is_the_same_vm(void **state)
{
    uint64_t newest, before;
    struct event_line line;
    char id[UUID_TEXT];
    struct err err;
    bool gap;

    world_create(&w, "web", "\"notes\":\"mine\"");
    str_copy(id, sizeof id, world_vm(&w, "web", "id"));
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    before = event_newest(w.core);
    assert_null(edit("web", "{\"name\":\"shop\"}", &err));
    for (bool told = false; !told; before++) { /* the start's last event may come in between */
        assert_int_equal(event_wait(w.core, before, 5000, &line, 1, &gap, &newest, &err), 1);
        told = str_eq(line.type, "vm.renamed");
        assert_true(told == (strstr(line.json, "\"previous_name\":\"web\"") != NULL));
        event_line_clear(&line);
    }
    assert_string_equal(world_vm(&w, "shop", "id"), id);
    assert_string_equal(world_vm(&w, id, "name"), "shop");
    assert_string_equal(world_vm(&w, "web", "id"), "not-found");
    assert_string_equal(world_vm(&w, "shop", "pending"), "null");
    assert_string_equal(world_act(&w, "shop", VM_VERB_STOP), "succeeded");
    world_close(&w);
    assert_true(world_open(&w));
    assert_string_equal(world_vm(&w, "shop", "id"), id);
    assert_string_equal(world_vm(&w, "shop", "notes"), "mine");
}

static void the_old_name_is_free_and_the_new_one_taken(void **state)
{
    struct err err;

    world_create(&w, "web", "");
    world_create(&w, "db", "");
    assert_string_equal(edit("web", "{\"name\":\"db\"}", &err), "exists");
    assert_string_equal(err.field, "/name");
    assert_null(edit("web", "{\"name\":\"shop\"}", &err));
    world_create(&w, "web", "");
    assert_string_equal(edit("shop", "{\"name\":\"web\"}", &err), "exists");
    assert_null(edit("web", "{\"name\":\"web\"}", &err));
}

static void a_name_that_cannot_be_one_is_refused(void **state)
{
    static const char *const bad[] = {"{\"name\":null}", "{\"name\":\"\"}", "{\"name\":\"a/b\"}",
                                      "{\"name\":\"7f0c2f4e-93a1-4e7c-8a53-0b8a5b1f6f10\"}",
                                      "{\"name\":7}"};
    struct err err;

    world_create(&w, "web", "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_string_equal(edit("web", bad[i], &err), "invalid");
        assert_string_equal(err.field, "/name");
    }
}

static void a_rename_that_cannot_be_written_frees_both_names(void **state)
{
    struct err err;

    world_create(&w, "web", "");
    fail_at("vm.edit.row");
    assert_non_null(edit("web", "{\"name\":\"shop\"}", &err));
    fail_nowhere();
    assert_string_equal(world_vm(&w, "web", "name"), "web");
    world_create(&w, "shop", "");
    assert_string_equal(edit("web", "{\"name\":\"shop\"}", &err), "exists");
}

static void a_repeated_rename_finds_its_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "name", "shop");
    struct origin origin = world_admin;
    struct uuid object;
    struct etag etag;
    struct err err = {0};
    bool found;
    char type[16];

    origin.idempotency_key = "rename-1";
    world_create(&w, "web", "");
    json_decref(vm_edit(w.core, "web", patch, NULL, &origin, &etag, &err));
    assert_true(core_idem_find(w.core, &origin, &found, type, &object, &err));
    assert_true(found);
    assert_string_equal(type, "vm");
    assert_string_equal(world_vm(&w, "shop", "id"), UUID_STR(&object));
}

static void a_dry_run_shows_the_vm_as_it_would_be(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s,s:i}", "name", "shop", "vcpus", 3);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct origin origin = world_admin;
    struct etag etag;
    struct err err = {0};

    origin.dry_run = true;
    world_create(&w, "web", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    vm = vm_edit(w.core, "web", patch, NULL, &origin, &etag, &err);
    assert_string_equal(json_get_text(vm, "name"), "shop");
    assert_int_equal(json_get_u64(json_object_get(vm, "pending"), "vcpus", 0), 3);
    assert_string_equal(world_vm(&w, "web", "vcpus"), "1");
    world_create(&w, "shop", "");
}

static atomic_bool renaming;

static void *read_names(void *arg)
{
    while (atomic_load(&renaming)) {
        struct err err = {0};
        json_t *list = world_list(&w, &schema_vm, (struct query_ask){0}, &err);
        const json_t *item = json_array_get(json_object_get(list, "items"), 0);
        const char *name = json_get_text(item, "name");

        if (!str_starts(name, "web-"))
            fail_msg("a name that never was: %s", name);
        json_decref(list);
        (void)world_act(&w, arg, VM_VERB_PAUSE); /* refusals name the VM, too */
    }
    return NULL;
}

static void names_are_whole_while_they_change(void **state)
{
    char id[UUID_TEXT], patch[128];
    pthread_t reader;
    struct err err;

    world_create(&w, "web-0", "");
    str_copy(id, sizeof id, world_vm(&w, "web-0", "id"));
    atomic_store(&renaming, true);
    assert_int_equal(pthread_create(&reader, NULL, read_names, id), 0);
    for (int i = 1; i <= 200; i++) {
        snprintf(patch, sizeof patch, "{\"name\":\"web-%.*s%d\"}", i % 40,
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i);
        assert_null(edit(id, patch, &err));
    }
    atomic_store(&renaming, false);
    pthread_join(reader, NULL);
}

/* ---- a running VM ---- */

static void processors_grow_at_once_up_to_what_there_is_room_for(void **state)
{
    struct err err;

    world_create(&w, "web", "\"vcpus\":1,\"cpu\":{\"max_vcpus\":4}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_null(edit("web", "{\"vcpus\":3}", &err));
    assert_string_equal(world_vm(&w, "web", "vcpus"), "3");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_null(edit("web", "{\"vcpus\":2}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "{\"vcpus\":2}");
    assert_null(edit("web", "{\"vcpus\":6,\"cpu\":{\"max_vcpus\":8}}", &err));
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "\"vcpus\":6"));
    assert_string_equal(world_vm(&w, "web", "pending_reason"), "null");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

static void without_room_processors_wait_for_the_next_start(void **state)
{
    struct err err;

    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_null(edit("web", "{\"vcpus\":2}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "{\"vcpus\":2}");
}

static void what_the_machine_refuses_is_pending_with_the_reason(void **state)
{
    static const char *const points[] = {"vm.live.plug", "fake.vcpus"};
    struct err err;

    world_create(&w, "web", "\"cpu\":{\"max_vcpus\":4}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        fail_at(points[i]);
        assert_null(edit("web", "{\"vcpus\":2}", &err));
        fail_nowhere();
        assert_string_equal(world_vm(&w, "web", "pending"), "{\"vcpus\":2}");
        assert_string_not_equal(world_vm(&w, "web", "pending_reason"), "null");
    }
    assert_null(edit("web", "{\"notes\":\"once more\"}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
    assert_string_equal(world_vm(&w, "web", "pending_reason"), "null");
}

static void what_the_machine_is_is_told_though_the_row_was_not_written(void **state)
{
    struct err err;

    world_create(&w, "web", "\"cpu\":{\"max_vcpus\":4}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    fail_at("vm.live.active");
    assert_null(edit("web", "{\"vcpus\":2}", &err));
    fail_nowhere();
    assert_string_equal(world_vm(&w, "web", "pending"), "null"); /* the machine has two */
    assert_null(edit("web", "{\"vcpus\":1}", &err));             /* as the row says it is */
    assert_string_equal(world_vm(&w, "web", "pending"), "{\"vcpus\":1}");
}

struct grower {
    const char *patch;
    pthread_t thread;
};

static void *grow(void *arg)
{
    struct err err;

    assert_null(edit("web", ((struct grower *)arg)->patch, &err));
    return NULL;
}

static void edits_at_the_same_time_come_to_one_end(void **state)
{
    struct grower growers[] = {
        {.patch = "{\"vcpus\":2}"}, {.patch = "{\"vcpus\":3}"}, {.patch = "{\"vcpus\":4}"}};
    struct err err;

    world_create(&w, "web", "\"cpu\":{\"max_vcpus\":8}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    for (size_t i = 0; i < ARRAY_LEN(growers); i++)
        assert_int_equal(pthread_create(&growers[i].thread, NULL, grow, &growers[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(growers); i++)
        pthread_join(growers[i].thread, NULL);
    assert_null(edit("web", "{\"vcpus\":5}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

/* ---- media ---- */

static void a_cd_is_changed_while_the_vm_runs(void **state)
{
    struct err err;

    put_medium("main", "install.iso", "disc one");
    put_medium("second", "drivers.iso", "disc two");
    world_create(&w, "web", "\"cdroms\":[{\"media\":\"install.iso\"},{}]");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_null(edit("web", "{\"cdroms\":[{},{\"media\":\"drivers.iso\"}]}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
    assert_string_equal(world_vm(&w, "web", "cdroms"),
                        "[{\"media\":null},{\"media\":\"drivers.iso\"}]");
    fail_at("fake.media");
    assert_null(edit("web", "{\"cdroms\":[{},{}]}", &err));
    fail_nowhere();
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "cdroms"));
    assert_null(edit("web", "{\"cdroms\":[{},{},{\"media\":\"install.iso\"}]}", &err));
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "install.iso"));
}

/* The change was made and the answer lost: to want the old medium again is not "nothing to do". */
static void after_a_failed_change_of_a_medium_nothing_is_believed(void **state)
{
    static const char *const points[] = {"vm.live.media", "vm.live.media.done", "vm.live.active"};
    struct err err;

    put_medium("main", "install.iso", "disc one");
    put_medium("main", "drivers.iso", "disc two");
    world_create(&w, "web", "\"cdroms\":[{\"media\":\"install.iso\"}]");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        bool was_made = i > 0;
        fail_at(points[i]);
        assert_null(edit("web", "{\"cdroms\":[{\"media\":\"drivers.iso\"}]}", &err));
        assert_non_null(strstr(world_vm(&w, "web", "pending"), "drivers.iso"));
        fail_at("fake.media");
        assert_null(edit("web", "{\"cdroms\":[{\"media\":\"install.iso\"}]}", &err));
        fail_nowhere();
        assert_int_equal(strstr(world_vm(&w, "web", "pending"), "install.iso") != NULL, was_made);
        assert_null(edit("web", "{\"notes\":\"again\"}", &err));
        assert_string_equal(world_vm(&w, "web", "pending"), "null");
    }
}

static void a_medium_that_is_not_there_is_refused_before_anything_changes(void **state)
{
    CLEANUP(mem_freep) char *link = str_format("%s/root-main/media/link.iso", w.dir);
    CLEANUP(mem_freep) char *pipe = str_format("%s/root-main/media/pipe.iso", w.dir);
    CLEANUP(mem_freep) char *folder = str_format("%s/root-main/media/folder.iso", w.dir);
    static const struct {
        const char *media, *slug;
    } bad[] = {{"none.iso", "not-found"}, {"link.iso", "invalid"},  {"pipe.iso", "invalid"},
               {"folder.iso", "invalid"}, {"empty.iso", "invalid"}, {"../secret", "invalid"},
               {"/etc/passwd", "invalid"}};
    struct err err;
    struct uuid op;

    put_medium("main", "empty.iso", "");
    assert_int_equal(symlink("/etc/passwd", link), 0);
    assert_int_equal(mkfifo(pipe, 0644), 0);
    assert_int_equal(mkdir(folder, 0755), 0);
    world_create(&w, "web", "\"cdroms\":[{}]");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(mem_freep)
        char *patch = str_format("{\"cdroms\":[{\"media\":\"%s\"}]}", bad[i].media);
        CLEANUP(mem_freep) char *more = str_format("\"cdroms\":[{\"media\":\"%s\"}]", bad[i].media);
        assert_string_equal(edit("web", patch, &err), bad[i].slug);
        assert_string_equal(err.field, "/cdroms/0/media");
        assert_false(world_try_create(&w, "other", more, &op, &err));
        assert_string_equal(err_slug(err.code), bad[i].slug);
    }
    assert_string_equal(world_vm(&w, "web", "revision"), "1");
}

static void a_medium_that_is_gone_does_not_stand_in_the_way_of_other_edits(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-main/media/install.iso", w.dir);
    struct err err;

    put_medium("main", "install.iso", "disc");
    world_create(&w, "web", "\"cdroms\":[{\"media\":\"install.iso\"}]");
    assert_int_equal(unlink(path), 0);
    assert_null(edit("web", "{\"notes\":\"done\"}", &err));
}

static void media_are_listed_page_by_page(void **state)
{
    CLEANUP(json_decrefp) json_t *one = NULL, *two = NULL;
    struct err err = {0};
    const json_t *item;

    put_medium("main", "b.iso", "22");
    put_medium("second", "a.iso", "1");
    put_medium("second", "b.iso", "333");
    put_medium("main", ".hidden", "4");
    put_medium("main", "empty.iso", "");
    one = world_list(&w, &schema_medium, (struct query_ask){.page_size = 2}, &err);
    assert_int_equal(json_array_size(json_object_get(one, "items")), 2);
    item = json_array_get(json_object_get(one, "items"), 1);
    assert_string_equal(json_get_text(item, "name"), "b.iso");
    assert_string_equal(json_get_text(item, "root"), "main");
    assert_int_equal(json_get_u64(item, "size_bytes", 0), 2);
    two = world_list(
        &w, &schema_medium,
        (struct query_ask){.page_size = 2, .page_token = json_get_text(one, "next_page_token")},
        &err);
    assert_int_equal(json_array_size(json_object_get(two, "items")), 1);
    assert_null(json_get_text(two, "next_page_token"));
}

/* ---- what the guest may take of its host ---- */

static void limits_are_changed_while_it_runs(void **state)
{
    struct err err;

    world_create(&w, "web", "\"limits\":{\"cpu_percent\":50}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_null(edit("web", "{\"limits\":{\"cpu_percent\":150}}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
    assert_null(edit("web", "{\"limits\":{\"memory_extra_bytes\":4096}}", &err));
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "4096")); /* at the next start */
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
    assert_string_equal(edit("web", "{\"limits\":{\"pids\":16}}", &err), "invalid");
    assert_string_equal(err.field, "/limits/pids");
}

static void a_limit_that_could_not_be_set_is_pending_with_the_reason(void **state)
{
    struct err err;

    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    fail_at("fake.limit");
    assert_null(edit("web", "{\"limits\":{\"cpu_weight\":300}}", &err));
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "300"));
    assert_non_null(strstr(world_vm(&w, "web", "pending_reason"), "fake.limit"));
    fail_nowhere();
    assert_null(edit("web", "{\"notes\":\"again\"}", &err));
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

/* On the fake machine's terminal. */
static void await_words(const char *words)
{
    char text[4096] = "";
    uint64_t offset = 0, end;
    struct err err = {0};

    for (size_t len = 0; !strstr(text, words); text[len] = 0) {
        ssize_t n = vm_serial_read(w.core, "web", 0, &offset, text + len, sizeof text - 1 - len,
                                   5000, &end, &err);
        if (n <= 0)
            fail_msg("'%s' was not said, only: %s", words, text);
        len += (size_t)n;
        offset += (uint64_t)n;
    }
}

static void limits_that_were_set_in_part_are_taken_back(void **state)
{
    struct err err;

    world_create(&w, "web", "\"limits\":{\"cpu_percent\":50}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    fail_at("fake.limit.done");
    assert_null(edit("web", "{\"limits\":{\"cpu_percent\":150}}", &err));
    fail_nowhere();
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "150"));
    assert_non_null(strstr(world_vm(&w, "web", "pending_reason"), "fake.limit.done"));
    await_words("cpu 150%\r\ncpu 50%\r\n");
}

/* As many as the VM has at its next start would need less. */
static void threads_suffice_for_the_processors_that_run(void **state)
{
    struct err err;

    world_create(&w, "web", "\"cpu\":{\"max_vcpus\":64}");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_null(edit("web", "{\"cpu\":{\"max_vcpus\":2},\"limits\":{\"pids\":140}}", &err));
    assert_non_null(strstr(world_vm(&w, "web", "pending"), "140"));
    assert_non_null(strstr(world_vm(&w, "web", "pending_reason"), "threads"));
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

/* The host of these tests has no controllers. */
static void what_the_host_cannot_enforce_is_told(void **state)
{
    uint64_t newest, before;
    struct event_line line;
    struct err err;
    bool gap;

    world_create(&w, "web", "\"limits\":{\"io_weight\":500,\"cpu_weight\":50}");
    before = event_newest(w.core);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    for (bool told = false; !told; before++) {
        assert_int_equal(event_wait(w.core, before, 5000, &line, 1, &gap, &newest, &err), 1);
        told = str_eq(line.type, "vm.not-limited");
        assert_true(told == (strstr(line.json, "\"cpu, io\"") != NULL));
        event_line_clear(&line);
    }
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
}

static const char *create_limited(const char *name, struct err *err)
{
    struct uuid op;

    *err = (struct err){0};
    return world_try_create(&w, name, "\"limits\":{\"io_weight\":500},\"require_limits\":true", &op,
                            err)
               ? NULL
               : err_slug(err->code);
}

/* What no host of now can do is said before there is a VM; a host may become another later. */
static void limits_that_nobody_enforces_are_refused_when_they_are_required(void **state)
{
    enum host_limit_way *ways = w.core->facts.limits;
    struct err err;

    assert_string_equal(create_limited("web", &err), "unsupported");
    assert_string_equal(err.field, "/require_limits");
    assert_non_null(strstr(err.detail, "cannot enforce limits of memory, io: run vmmd as root"));
    ways[HOST_LIMIT_MEMORY] = ways[HOST_LIMIT_IO] = HOST_LIMIT_BY_V2;
    assert_null(create_limited("web", &err));
    assert_string_equal(edit("web", "{\"limits\":{\"pids\":500}}", &err), "unsupported");
    assert_null(edit("web", "{\"limits\":{\"pids\":500},\"require_limits\":false}", &err));
    assert_string_equal(edit("web", "{\"require_limits\":true}", &err), "unsupported");
    assert_null(edit("web", "{\"limits\":{\"pids\":null},\"require_limits\":true}", &err));
    ways[HOST_LIMIT_MEMORY] = ways[HOST_LIMIT_IO] = HOST_LIMIT_UNSUPPORTED;
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "failed");
    assert_string_equal(world_vm(&w, "web", "state"), "off");
    assert_null(edit("web", "{\"notes\":\"waits for its host\"}", &err));
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_renamed_vm_is_the_same_vm),
        STORY(the_old_name_is_free_and_the_new_one_taken),
        STORY(a_name_that_cannot_be_one_is_refused),
        STORY(a_rename_that_cannot_be_written_frees_both_names),
        STORY(a_repeated_rename_finds_its_vm),
        STORY(a_dry_run_shows_the_vm_as_it_would_be),
        STORY(names_are_whole_while_they_change),
        STORY(processors_grow_at_once_up_to_what_there_is_room_for),
        STORY(without_room_processors_wait_for_the_next_start),
        STORY(what_the_machine_refuses_is_pending_with_the_reason),
        STORY(what_the_machine_is_is_told_though_the_row_was_not_written),
        STORY(edits_at_the_same_time_come_to_one_end),
        STORY(a_cd_is_changed_while_the_vm_runs),
        STORY(after_a_failed_change_of_a_medium_nothing_is_believed),
        STORY(a_medium_that_is_not_there_is_refused_before_anything_changes),
        STORY(a_medium_that_is_gone_does_not_stand_in_the_way_of_other_edits),
        STORY(media_are_listed_page_by_page),
        STORY(limits_are_changed_while_it_runs),
        STORY(limits_that_were_set_in_part_are_taken_back),
        STORY(threads_suffice_for_the_processors_that_run),
        STORY(a_limit_that_could_not_be_set_is_pending_with_the_reason),
        STORY(what_the_host_cannot_enforce_is_told),
        STORY(limits_that_nobody_enforces_are_refused_when_they_are_required),
    };

    return cmocka_run_group_tests_name("core/edit", tests, NULL, NULL);
}
