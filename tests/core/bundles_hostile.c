/* Bundles as strangers may write them: documents that say what is not so, images that lead
 * elsewhere. None makes a VM, none leaves anything behind. */
#include "tests/core/bundling.h"

static void write_document(const char *name, const json_t *v)
{
    CLEANUP(mem_freep) char *path = in_bundle(name, "bundle.json");

    assert_int_equal(json_dump_file(v, path, 0), 0);
}

static json_t *at(json_t *v, const char *list, size_t i)
{
    return json_array_get(json_object_get(v, list), i);
}

/* Each makes another document of a sound one. */
static void newer(json_t *v)
{
    json_put_u64(v, "bundle", 2);
}

static void no_bundle(json_t *v)
{
    json_object_del(v, "bundle");
}

static void without_a_digest(json_t *v)
{
    json_array_remove(json_object_get(v, "files"), 0);
}

static void other_order(json_t *v)
{
    json_t *files = json_object_get(v, "files");

    json_array_insert(files, 0, json_array_get(files, 1));
    json_array_remove(files, 2);
}

static void other_digest(json_t *v)
{
    json_put_text(at(v, "files", 0), "digest",
                  "0000000000000000000000000000000000000000000000000000000000000000");
}

static void digest_that_is_none(json_t *v)
{
    json_put_text(at(v, "files", 0), "digest", "../../../etc/passwd");
}

static void other_length(json_t *v)
{
    json_put_u64(at(v, "files", 1), "bytes", 7);
}

static void other_size(json_t *v)
{
    json_t *vm = json_object_get(v, "vm");

    json_put_u64(at(vm, "files", 1), "size_bytes", 512);
}

static void path_for_an_id(json_t *v)
{
    json_t *vm = json_object_get(v, "vm");

    json_put_text(at(vm, "files", 0), "id", "../../../../etc/passwd");
    json_put_text(at(v, "files", 0), "file", "../../../../etc/passwd");
}

/* Two overlays, each on the other: a raw file would be refused for having a parent at all. */
static void circle(json_t *v)
{
    json_t *vm = json_object_get(v, "vm"), *file, *pair[2];
    size_t i, n = 0;

    json_array_foreach (json_object_get(vm, "files"), i, file)
        if (str_eq(json_get_text(file, "format"), "qcow2") && n < ARRAY_LEN(pair))
            pair[n++] = file;
    assert_int_equal(n, ARRAY_LEN(pair));
    for (i = 0; i < n; i++)
        json_put_text(pair[i], "parent", json_get_text(pair[1 - i], "id"));
}

/* Archived it would be expanded to what the document says, and that is more than the machine has.
 */
static void large_memory(json_t *v)
{
    json_t *vm = json_object_get(v, "vm"), *one;
    size_t i;

    json_array_foreach (json_object_get(vm, "files"), i, one)
        if (str_eq(json_get_text(one, "role"), "memory"))
            json_put_u64(one, "size_bytes", 1ull << 40);
    json_array_foreach (json_object_get(vm, "memories"), i, one)
        json_put_u64(one, "packed_bytes", 1);
}

static void many_processors(json_t *v)
{
    json_put_u64(json_object_get(json_object_get(v, "vm"), "spec"), "vcpus", 1 << 30);
}

static void odd_snapshot(json_t *v)
{
    json_t *vm = json_object_get(v, "vm");

    json_put_text(json_object_get(at(vm, "snapshots", 0), "spec"), "machine", "-device");
}

static void snapshot_without_a_disk(json_t *v)
{
    json_t *vm = json_object_get(v, "vm");

    json_array_remove(json_object_get(at(vm, "snapshots", 0), "disks"), 0);
}

static void other_backend(json_t *v)
{
    json_t *vm = json_object_get(v, "vm");

    json_put_text(json_object_get(at(vm, "snapshots", 1), "spec"), "backend", "qemu");
}

static void extra_of_nobody(json_t *v)
{
    json_t *one = json_object();

    json_put_text(one, "kind", "picture");
    json_put_u64(one, "bytes", 1);
    json_put_text(one, "digest",
                  "0000000000000000000000000000000000000000000000000000000000000000");
    json_array_append_new(json_object_get(v, "extras"), one);
}

static void far_away_disk(json_t *v)
{
    json_put_u64(at(json_object_get(v, "vm"), "disks", 0), "position", 4000000000);
}

static void no_document_of_a_stranger_makes_a_vm(void **state)
{
    static const struct {
        const char *name, *outcome;
        void (*change)(json_t *v);
    } rows[] = {
        {"newer", "unsupported", newer},
        {"no bundle", "invalid", no_bundle},
        {"a file without a digest", "invalid", without_a_digest},
        {"another order", "invalid", other_order},
        {"another digest", "invalid", other_digest},
        {"a digest that is none", "invalid", digest_that_is_none},
        {"another length", "invalid", other_length},
        {"another size", "invalid", other_size},
        {"a path for an id", "invalid", path_for_an_id},
        {"a circle", "invalid", circle},
        {"a memory larger than its machine's", "invalid", large_memory},
        {"too many processors", "invalid", many_processors},
        {"a snapshot's odd configuration", "invalid", odd_snapshot},
        {"a snapshot without a disk", "invalid", snapshot_without_a_disk},
        {"another backend", "invalid", other_backend},
        {"a picture of nothing", "invalid", extra_of_nobody},
        {"a disk far away", "invalid", far_away_disk},
    };
    CLEANUP(json_decrefp) json_t *sound = NULL;
    unsigned files = world_files(&w);

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    sound = document("web");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(json_decrefp) json_t *v = json_deep_copy(sound);
        const char *outcome;
        rows[i].change(v);
        write_document("web", v);
        outcome = import_named("web", "web2");
        if (!str_eq(outcome, rows[i].outcome))
            fail_msg("%s: %s", rows[i].name, outcome);
        assert_false(world_has_vm(&w, "web2"));
        assert_int_equal(world_files(&w), files);
    }
    write_document("web", sound);
    assert_string_equal(import_named("web", "web2"), "succeeded");
}

/* Room is put by for what the memory can be, whatever the document says that it was. */
static void what_a_memory_is_expanded_to_is_not_the_documents(void **state)
{
    CLEANUP(json_decrefp) json_t *v = NULL, *s = NULL;
    struct err err = {0};
    uint64_t size = 0;
    json_t *one;
    size_t i;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    v = document("web");
    json_array_foreach (json_object_get(json_object_get(v, "vm"), "memories"), i, one) {
        json_put_u64(one, "packed_bytes", 1);
        json_put_u64(one, "plain_bytes", 1);
        size = json_get_u64(json_object_get(one, "spec"), "memory_bytes", 0);
    }
    write_document("web", v);
    assert_string_equal(import_named("web", "web2"), "succeeded");
    s = snapshot_show(w.core, "web2", "b", &err);
    assert_true(size > 0);
    assert_int_equal(json_get_u64(json_object_get(s, "memory"), "plain_bytes", 0), size);
}

static bool go_on(void *ctx, uint64_t bytes, struct err *err)
{
    return true;
}

/* The document says of its i-th file what is in 'fd' now. */
static void refresh_digest(json_t *v, size_t i, int fd)
{
    CLEANUP(mem_freep) char *path = str_format("%s/copy", w.dir);
    CLEANUP(closep) int copy = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    unsigned char sum[COPY_DIGEST_BYTES];
    char text[2 * COPY_DIGEST_BYTES + 1];
    struct err err = {0};

    assert_true(file_copy(fd, copy, COPY_BLOCK_BYTES, go_on, NULL, sum, &err));
    str_hex(sum, sizeof sum, text);
    json_put_text(at(v, "files", i), "digest", text);
}

/* A qcow2's header, and its digest with it: what only looking into the copy tells. */
static void no_image_of_a_stranger_leads_elsewhere(void **state)
{
    const struct bundle_ask ask = {.pool = "main"};
    static const char secret[] = "/etc/passwd";
    CLEANUP(json_decrefp) json_t *v = NULL;
    unsigned char head[20] = {0};
    unsigned files = world_files(&w);
    json_t *all;

    assert_string_equal(export_as("web", &ask), "succeeded");
    v = document("web");
    all = json_object_get(json_object_get(v, "vm"), "files");
    for (size_t i = 0; i < json_array_size(all); i++) {
        CLEANUP(mem_freep) char *path = file_of("web", i);
        CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
        if (!str_eq(json_get_text(json_array_get(all, i), "format"), "qcow2") ||
            pread(fd, head, sizeof head, 0) != sizeof head)
            continue;
        assert_int_equal(pwrite(fd, secret, sizeof secret - 1, 512), sizeof secret - 1);
        head[14] = 2, head[15] = 0;
        head[16] = head[17] = head[18] = 0, head[19] = sizeof secret - 1;
        assert_int_equal(pwrite(fd, head, sizeof head, 0), sizeof head);
        refresh_digest(v, i, fd);
    }
    write_document("web", v);
    assert_string_equal(import_named("web", "web2"), "invalid");
    assert_false(world_has_vm(&w, "web2"));
    assert_int_equal(world_files(&w), files);
}

/* The same disk as a fixed vhd, which has its footer at the end alone. */
static void make_fixed(int fd, uint64_t size_bytes)
{
    unsigned char footer[512];

    assert_int_equal(pread(fd, footer, sizeof footer, 0), sizeof footer);
    assert_int_equal(footer[63], 3);
    footer[63]--;
    assert_int_not_equal(footer[67], 255); /* the sum of all bytes, each bit turned round */
    footer[67]++;
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, footer, sizeof footer, (off_t)size_bytes), sizeof footer);
}

/* QEMUs differ on how large its disk is, and a VM that had it would be shown another one by each.
 */
static void no_fixed_vhd_of_a_stranger_becomes_a_disk(void **state)
{
    const struct bundle_ask ask = {.pool = "main"};
    CLEANUP(json_decrefp) json_t *v = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(closep) int fd = -1;
    unsigned files;

    world_create(&w, "win", "\"disks\":[{\"size_bytes\":2097152,\"format\":\"vhd\"}]");
    files = world_files(&w);
    assert_string_equal(export_as("win", &ask), "succeeded");
    v = document("win");
    path = file_of("win", 0);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    make_fixed(fd, 2097152);
    json_put_u64(at(v, "files", 0), "bytes", 2097152 + 512);
    refresh_digest(v, 0, fd);
    write_document("win", v);
    assert_string_equal(import_named("win", "win2"), "invalid");
    assert_false(world_has_vm(&w, "win2"));
    assert_int_equal(world_files(&w), files);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(no_document_of_a_stranger_makes_a_vm),
        T(no_image_of_a_stranger_leads_elsewhere),
        T(no_fixed_vhd_of_a_stranger_becomes_a_disk),
        T(what_a_memory_is_expanded_to_is_not_the_documents),
    };

    return cmocka_run_group_tests_name("core/bundles_hostile", tests, NULL, NULL);
}
