/* The walk over what changes a VM beside its power: its name, its policy, and processors and media
 * while it runs. See tests/lib/walk.h.
 *
 * The witnesses of what a running machine has: the guest counts its processors, the kernel knows
 * QEMU's open files. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/proc.h"
#include "tests/lib/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VM    "/api/v1/vms/" WALK_VM
#define OTHER "/api/v1/vms/shop"
#define QEMU  "/usr/bin/qemu-system-x86_64"
#define MOST  6

static const char more[] = ",\"cpu\":{\"max_vcpus\":6},\"cdroms\":[{}]";

static bool is_there(struct rig *r, const char *path)
{
    int status;

    json_decref(rig_call(r, "GET", path, NULL, &status));
    return status == 200;
}

/* Of the VM, as JSON text; the caller's. */
static char *shown(struct rig *r, const char *member)
{
    int status;
    CLEANUP(json_decrefp) json_t *vm = rig_call(r, "GET", VM, NULL, &status);

    assert_int_equal(status, 200);
    return json_dumps(json_object_get(vm, member), JSON_ENCODE_ANY | JSON_COMPACT);
}

static unsigned number(struct rig *r, const char *member)
{
    CLEANUP(mem_freep) char *text = shown(r, member);

    return (unsigned)strtoul(text, NULL, 10);
}

/* ---- processors ---- */

static unsigned wanted;

static void there_is_room(struct rig *r)
{
    wanted = 2;
    if (!is_there(r, VM))
        return;
    if (number(r, "vcpus") < MOST) {
        wanted = number(r, "vcpus") + 1;
        return;
    }
    CLEANUP(mem_freep) char *state = rig_text(r, WALK_VM, "run.state");
    if (strcmp(state, "running") == 0)
        rig_act(r, WALK_VM, "stop");
    json_decref(rig_do(r, "PATCH", VM, "{\"vcpus\":1}", 200));
}

static char *one_more(void)
{
    return str_format("{\"vcpus\":%u}", wanted);
}

static void it_is_configured_so(struct rig *r)
{
    assert_int_equal(number(r, "vcpus"), wanted);
}

/* As the guest sees it now: a number that it began to write after we asked. */
static unsigned processors(struct rig *r)
{
    counter_await_life(r, WALK_VM, 20000);
    counter_await_life(r, WALK_VM, 20000);
    return counter_processors(r, WALK_VM);
}

static void what_is_pending_is_what_the_machine_has_not(struct rig *r)
{
    CLEANUP(mem_freep) char *pending = shown(r, "pending");
    unsigned there = processors(r), configured = number(r, "vcpus");

    if ((strstr(pending, "vcpus") != NULL) != (there != configured))
        fail_msg("%u processors are configured, %u are there, and pending is %s", configured, there,
                 pending);
}

/* ---- media ---- */

static const char *medium = "one.iso";

static void put(struct rig *r, const char *name)
{
    CLEANUP(mem_freep) char *dir = str_format("%s/main/media", r->dir);
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    int fd;

    mkdir(dir, 0755);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 65536), 0);
    close(fd);
}

static void another_disc(struct rig *r)
{
    put(r, "one.iso");
    put(r, "two.iso");
    medium = strcmp(medium, "one.iso") == 0 ? "two.iso" : "one.iso";
}

static char *insert(void)
{
    return str_format("{\"cdroms\":[{\"media\":\"%s\"}]}", medium);
}

static void it_shall_be_in_the_drive(struct rig *r)
{
    CLEANUP(mem_freep) char *text = shown(r, "cdroms");

    assert_non_null(strstr(text, medium));
}

/* The discs QEMU holds open: 1 for one.iso, 2 for two.iso. */
static unsigned discs(struct rig *r)
{
    char path[64];
    unsigned set = 0;
    pid_t qemu;
    DIR *fds;

    assert_int_equal(proc_users(QEMU, r->dir, &qemu, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)qemu);
    fds = opendir(path);
    assert_non_null(fds);
    for (struct dirent *e; (e = readdir(fds));) {
        char target[512] = "";
        (void)!readlinkat(dirfd(fds), e->d_name, target, sizeof target - 1);
        set |= strstr(target, "/media/one.iso") ? 1 : 0;
        set |= strstr(target, "/media/two.iso") ? 2 : 0;
    }
    closedir(fds);
    return set;
}

/* Nothing pending: the disc that is configured is in the drive, and no other. */
static void what_is_not_pending_is_in_the_drive(struct rig *r)
{
    CLEANUP(mem_freep) char *pending = shown(r, "pending");
    CLEANUP(mem_freep) char *text = shown(r, "cdroms");
    unsigned configured = strstr(text, "one.iso") ? 1 : strstr(text, "two.iso") ? 2 : 0;

    if (!strstr(pending, "media") && discs(r) != configured)
        fail_msg("%s is configured, nothing is pending, and QEMU holds the discs %u", text,
                 discs(r));
}

/* ---- name and policy ---- */

static void it_has_its_old_name(struct rig *r)
{
    if (is_there(r, OTHER))
        json_decref(rig_do(r, "PATCH", OTHER, "{\"name\":\"" WALK_VM "\"}", 200));
}

static char *another_name(void)
{
    return str_dup("{\"name\":\"shop\"}");
}

static void it_has_the_new_name(struct rig *r)
{
    assert_true(is_there(r, OTHER));
}

static char *start_by_itself(void)
{
    return str_dup("{\"autostart\":{\"enabled\":true}}");
}

static void it_starts_by_itself(struct rig *r)
{
    CLEANUP(mem_freep) char *text = shown(r, "autostart");

    assert_non_null(strstr(text, "\"enabled\":true"));
}

static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

#define PATCH(name_, begin_, body_, ends_, after_, prepare_)                                       \
    .name = name_, .begin = begin_, .method = "PATCH", .path = VM, .body = body_, .ends = ends_,   \
    .after = after_, .prepare = prepare_

static const struct walk_operation operations[] = {
    {PATCH("rename", WALK_OFF, another_name, NULL, it_has_the_new_name, it_has_its_old_name)},
    {PATCH("autostart", WALK_OFF, start_by_itself, off, it_starts_by_itself, it_has_its_old_name)},
    {PATCH("processors", WALK_RUNNING, one_more, running, it_is_configured_so, there_is_room),
     .same_guest = true, .always = what_is_pending_is_what_the_machine_has_not},
    {PATCH("media", WALK_RUNNING, insert, running, it_shall_be_in_the_drive, another_disc),
     .same_guest = true, .always = what_is_not_pending_is_in_the_drive},
};

int main(void)
{
    return walk_all("fault/walk_live", operations, ARRAY_LEN(operations), more);
}
