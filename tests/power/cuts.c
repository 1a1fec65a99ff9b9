/* Power cuts: a daemon's life is recorded, and from the record the states are made that a power cut
 * at any moment may leave. On each the daemon must start without help and know all that it had
 * acknowledged.
 *
 * $VMMD_POWER_STATES says how many states are tried, $VMMD_SEED which; tools/powerloss tries more.
 */
#include "tests/lib/replay.h"
#include "tests/lib/story.h"
#include "tests/preload/watch.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>

#define STATES     1000
#define LIE_STATES 60 /* enough for a lie to be found out */

/* What was freed is not kept for long: each state is looked at by a copy of this process, and what
 * that costs is its memory. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4:thread_local_quarantine_size_kb=64";
}

static char *place; /* of everything: live/ record state/ */
static unsigned seed;

static char *in_place(const char *name)
{
    return str_format("%s/%s", place, name);
}

static void make_dir(const char *path)
{
    struct err err = {0};

    if (!fs_mkdirs(path, 0700, &err))
        fail_msg("%s", err.detail);
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    uint64_t n;

    return text && str_to_u64(text, &n) ? (unsigned)n : otherwise;
}

/* Lives the story once, recorded, in a process of its own. */
static int record_story(void **state)
{
    CLEANUP(mem_freep) char *live = NULL;
    CLEANUP(mem_freep) char *record = NULL;
    int status;
    pid_t child;

    setenv("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 0);
    seed = number_of("VMMD_SEED", 1);
    world_without_qemu();
    place = tmp_dir_make();
    live = in_place("live");
    record = in_place("record");
    make_dir(live);
    child = fork();
    if (child == 0) {
        watch_start(live, record);
        story_live(str_dup(live), watch_mark);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return 0;
}

static int forget_story(void **state)
{
    tmp_dir_remove(place);
    return 0;
}

static struct replay *replay_story(unsigned lies)
{
    CLEANUP(mem_freep) char *live = in_place("live");
    CLEANUP(mem_freep) char *record = in_place("record");

    return replay_open(record, live, lies);
}

static void the_record_leads_to_the_very_tree_that_is_there(void **state)
{
    CLEANUP(mem_freep) char *end = in_place("end");
    CLEANUP(mem_freep)
    char *compare = str_format("diff -r --exclude=*-shm %s/live %s/end", place, place);
    struct replay *r = replay_story(REPLAY_HONEST);
    const char *note;
    unsigned n = 0;

    while (replay_next(r, &note))
        n++;
    make_dir(end);
    replay_cut(r, REPLAY_ALL, 1, end);
    replay_close(r);
    print_message("%u changes recorded\n", n);
    assert_true(n > 500);
    assert_int_equal(system(compare), 0);
}

/* ---- the walk ---- */

struct seen {
    uint64_t hash;
    UT_hash_handle hh;
};

/* A state is looked at by a process of its own: as many at a time as this. */
#define CHECKS 3

struct check {
    pid_t pid; /* 0: none */
    char *dir;
};

struct walk {
    struct replay *replay;
    struct check checks[CHECKS];
    struct story_progress progress;
    unsigned changes; /* in the whole record */
    unsigned wanted, tried, wrong;
    struct seen *seen;
    unsigned random;
    bool loud; /* say what is wrong */
};

static unsigned count_changes(void)
{
    struct replay *r = replay_story(REPLAY_HONEST);
    const char *note;
    unsigned n = 0;

    while (replay_next(r, &note))
        n++;
    replay_close(r);
    return n;
}

static bool is_new(struct walk *w, uint64_t hash)
{
    struct seen *s;

    HASH_FIND(hh, w->seen, &hash, sizeof hash, s);
    if (s)
        return false;
    s = mem_alloc(sizeof *s);
    s->hash = hash;
    HASH_ADD(hh, w->seen, hash, sizeof s->hash, s);
    return true;
}

/* What was acknowledged belongs to the state: the same disk may be right before and wrong after. */
static uint64_t with_progress(uint64_t hash, const struct story_progress *p)
{
    for (unsigned i = 0; i < STORY_ACTORS; i++)
        hash = (hash * 31 + p->acked[i]) * 31 + p->begun[i];
    return hash;
}

static void await_check(struct walk *w, struct check *check)
{
    int status = -1;

    if (!check->pid)
        return;
    assert_int_equal(waitpid(check->pid, &status, 0), check->pid);
    w->wrong += status != 0;
    tmp_dir_remove(check->dir);
    *check = (struct check){0};
}

static _Noreturn void look_at(const struct walk *w, const char *dir, unsigned at,
                              enum replay_cut how)
{
    const char *wrong = story_check(dir, &w->progress);

    if (wrong && w->loud)
        print_message("cut after change %u of %u, kind %d, steps %u/%u %u/%u: %s\n", at, w->changes,
                      how, w->progress.acked[0], w->progress.begun[0], w->progress.acked[1],
                      w->progress.begun[1], wrong);
    fflush(NULL);
    _exit(wrong != NULL);
}

static void try_one(struct walk *w, unsigned at, enum replay_cut how)
{
    unsigned s = (unsigned)rand_r(&w->random);
    uint64_t hash = replay_cut(w->replay, how, s, NULL);
    struct check *check = &w->checks[w->tried % CHECKS];

    if (!is_new(w, with_progress(hash, &w->progress)))
        return;
    await_check(w, check);
    check->dir = tmp_dir_make();
    replay_cut(w->replay, how, s, check->dir);
    w->tried++;
    fflush(NULL);
    check->pid = fork();
    assert_true(check->pid >= 0);
    if (check->pid == 0)
        look_at(w, check->dir, at, how);
}

/* Goes through the record and stops so often that 'wanted' states come out; more than one kind of
 * cut at a place where that is needed. */
static void pass(struct walk *w, unsigned lies)
{
    const struct watch_record *rec;
    const char *note;
    unsigned at = 0;

    w->replay = replay_story(lies);
    memset(&w->progress, 0, sizeof w->progress);
    while (w->tried < w->wanted && (rec = replay_next(w->replay, &note))) {
        at++;
        if (rec->kind == WATCH_MARK)
            assert_true(story_note(&w->progress, note));
        else if ((unsigned)rand_r(&w->random) % w->changes < w->wanted)
            try_one(w, at, (enum replay_cut)((unsigned)rand_r(&w->random) % REPLAY_CUTS));
    }
    replay_close(w->replay);
}

static struct walk walk(unsigned lies, unsigned wanted, bool loud)
{
    struct walk w = {.wanted = wanted, .random = seed, .loud = loud, .changes = count_changes()};
    struct seen *s, *next;

    for (unsigned i = 0; w.tried < wanted && i < 64; i++)
        pass(&w, lies);
    for (unsigned i = 0; i < CHECKS; i++)
        await_check(&w, &w.checks[i]);
    HASH_ITER (hh, w.seen, s, next) {
        HASH_DELETE(hh, w.seen, s);
        free(s);
    }
    return w;
}

static void no_power_cut_loses_or_tears_anything(void **state)
{
    unsigned wanted = number_of("VMMD_POWER_STATES", STATES);
    struct walk w = walk(REPLAY_HONEST, wanted, true);

    print_message("seed %u: %u states after a power cut, %u wrong\n", seed, w.tried, w.wrong);
    assert_int_equal(w.tried, wanted);
    assert_int_equal(w.wrong, 0);
}

/* A walk that finds nothing proves something only if it finds what is there to be found. */
static void files_that_are_not_flushed_are_noticed(void **state)
{
    struct walk w = walk(REPLAY_NO_FILE_FLUSH, LIE_STATES, false);

    print_message("without fsync of files: %u of %u states wrong\n", w.wrong, w.tried);
    assert_true(w.wrong > LIE_STATES / 4);
}

static void directories_that_are_not_flushed_are_noticed(void **state)
{
    struct walk w = walk(REPLAY_NO_DIR_FLUSH, LIE_STATES, false);

    print_message("without fsync of directories: %u of %u states wrong\n", w.wrong, w.tried);
    assert_true(w.wrong > LIE_STATES / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_record_leads_to_the_very_tree_that_is_there),
        cmocka_unit_test(no_power_cut_loses_or_tears_anything),
        cmocka_unit_test(files_that_are_not_flushed_are_noticed),
        cmocka_unit_test(directories_that_are_not_flushed_are_noticed),
    };

    setenv("VMMD_LOG", "error", 0);
    return cmocka_run_group_tests_name("power/cuts", tests, record_story, forget_story);
}
