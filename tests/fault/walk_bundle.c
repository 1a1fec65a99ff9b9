/* The kill walk over bundles: see tests/lib/walk.h. A VM that is off becomes a folder and a folder
 * becomes a VM; main is killed, and the step fails, at each point of bundles' own (that of each
 * commit is walked in process, by fault/bundle_walk). Whatever happens a bundle is there as a whole
 * or not at all, no folder that was being written is left, and what is made of one is it. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/settled.h"
#include "tests/lib/walk.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define VM      "/api/v1/vms/" WALK_VM
#define BUNDLES "/api/v1/bundles"

static uint32_t number_there; /* on the disk that is, or was, exported */

/* Of each case, whatever came of it: before the next one begins, and at the end. */
static unsigned nothing_is_half(struct rig *r)
{
    CLEANUP(json_decrefp) json_t *all = rig_do(r, "GET", BUNDLES, NULL, 200);
    CLEANUP(mem_freep) char *path = str_format("%s/main/vmmd-bundles", r->dir);
    const json_t *items = json_object_get(all, "items");
    DIR *dir = opendir(path);
    json_t *one;
    size_t i;

    json_array_foreach (items, i, one)
        assert_string_equal(json_get_text(one, "state"), "complete");
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] == '.' && !str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            fail_msg("%s was being written, and is left", e->d_name);
    if (dir)
        closedir(dir);
    return (unsigned)json_array_size(items);
}

static void nothing_is_left(struct rig *r)
{
    settled_clear_away(r);
    (void)nothing_is_half(r);
}

/* ---- export ---- */

static void there_is_no_bundle(struct rig *r)
{
    if (nothing_is_half(r))
        json_decref(rig_do(r, "DELETE", BUNDLES "/carried", NULL, 204));
}

#define TO_MAIN "{\"pool\":\"main\",\"name\":\"carried\"}"

static char *to_main(void)
{
    return str_dup(TO_MAIN);
}

static void it_is_there(struct rig *r)
{
    assert_int_equal(nothing_is_half(r), 1);
}

/* ---- import ---- */

/* The VM that it was made of goes before each import. */
static void there_is_one(struct rig *r)
{
    CLEANUP(mem_freep) char *spec = counter_spec(WALK_VM);
    int status;

    if (nothing_is_half(r) && number_there)
        return;
    there_is_no_bundle(r); /* an export's: its guest has written nothing */
    json_decref(rig_call(r, "GET", VM, NULL, &status));
    if (status == 404)
        json_decref(rig_do(r, "POST", "/api/v1/vms", spec, 201));
    counter_install(r);
    rig_act(r, WALK_VM, "start");
    counter_await_life(r, WALK_VM, 20000);
    rig_act(r, WALK_VM, "stop");
    number_there = counter_on_disk(r, WALK_VM);
    json_decref(rig_do(r, "POST", VM "/actions/export", TO_MAIN, 200));
}

static char *from_carried(void)
{
    return str_dup("{\"bundle\":\"carried\",\"pool\":\"main\",\"name\":\"" WALK_VM "\"}");
}

static void its_disk_is_what_it_was(struct rig *r)
{
    assert_int_equal(nothing_is_half(r), 1);
    assert_int_equal(counter_on_disk(r, WALK_VM), number_there);
}

static const char *const off[] = {"off", NULL};

static const struct walk_operation operations[] = {
    {.name = "export",
     .begin = WALK_OFF,
     .method = "POST",
     .path = VM "/actions/export",
     .body = to_main,
     .ends = off,
     .after = it_is_there,
     .once = true,
     .brief = true,
     .own = "bundle.",
     .again = nothing_is_left,
     .prepare = there_is_no_bundle},
    {.name = "import",
     .begin = WALK_ABSENT,
     .method = "POST",
     .path = "/api/v1/vms/actions/import",
     .body = from_carried,
     .ends = off,
     .after = its_disk_is_what_it_was,
     .once = true,
     .brief = true,
     .own = "import.",
     .again = nothing_is_left,
     .prepare = there_is_one},
};

int main(void)
{
    return walk_all("fault/walk_bundle", operations, ARRAY_LEN(operations), "");
}
