/* A worker that writes a guest's memory, with a QEMU that is played by the test. vmmd-split is the
 * test program itself, executed by the worker: it does what it is told through QEMU's end of the
 * stream. */
#pragma once
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "tests/unit/worker_rig.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define IMAGE "11111111-0000-4000-8000-00000000000d"
#define ASK(way, overlays)                                                                         \
    "{\"image\":\"" IMAGE "\",\"way\":\"" way "\",\"ram_bytes\":8192,\"overlays\":[" overlays "]}"
#define ABOUT    "{\"image\":\"" IMAGE "\"}"
#define CANCEL   "{\"image\":\"" IMAGE "\",\"cancel\":true}"
#define OVERLAY  "{\"node\":\"fa\",\"overlay\":\"fb\"}"
#define OK       "\"return\":{}"
#define BAD      "\"error\":{\"class\":\"GenericError\",\"desc\":\"it does not want to\"}"
#define MIGRATED "\"return\":{\"status\":\"postmigrate\"}"
#define PAUSED   "\"return\":{\"status\":\"paused\"}"

/* ---- the splitter ---- */

static inline void report(enum split_outcome outcome, const char *detail)
{
    struct split_report r = {.version = 1, .outcome = outcome, .ram_bytes = 8192, .held_bytes = 1};

    str_copy(r.detail, sizeof r.detail, detail);
    (void)!write(SPLIT_FD_REPORT, &r, sizeof r);
}

static inline int split_main(const char *size)
{
    char word = 0;

    if (strcmp(size, "0") == 0) {
        char rest[65536];
        while (read(SPLIT_FD_STREAM, rest, sizeof rest) > 0)
            ;
        return 0;
    }
    if (strcmp(size, "8192") != 0 || fcntl(SPLIT_FD_REPORT + 1, F_GETFD) >= 0 || getenv("PATH"))
        return 1;
    if (read(SPLIT_FD_STREAM, &word, 1) != 1)
        report(SPLIT_CUT_SHORT, "the stream ended before its end");
    else if (word == 'd' && pwrite(SPLIT_FD_IMAGE, "page", 4, 0) == 4)
        report(SPLIT_DONE, "");
    else if (word == 'n')
        report(SPLIT_NO_SPACE, "the pool is full");
    return 0;
}

/* ---- one worker a test ---- */

static struct rig rig;
static int stream; /* QEMU's end */
static int image;

static inline int set_up(void **state)
{
    rig_start(&rig);
    status_set(&rig.w, "running");
    assert_int_equal(fcntl(rig.qemu, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    rig.w.split.program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    image = memfd_create("image", MFD_CLOEXEC);
    stream = -1;
    return 0;
}

static inline int tear_down(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    closep(&stream);
    closep(&image);
    rig_clear(&rig);
    close(rig.w.split.program);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

/* ---- verbs ---- */

static inline void begin(const char *text)
{
    bool failed;
    uint32_t id = client_send(&rig.c, WORKER_MEMORY, text, strlen(text), &image, 1);
    CLEANUP(json_decrefp) json_t *body = rig_answer(&rig, id, &failed);

    if (failed)
        fail_msg("refused: %s", json_get_text(body, "detail"));
}

static inline void qemu_says(const char *event, const char *data)
{
    CLEANUP(mem_freep)
    char *text = str_format("{\"event\":\"%s\",\"data\":%s}\r\n", event, data ? data : "{}");

    rig_qemu_says(&rig, text);
}

static inline void migration(const char *status)
{
    CLEANUP(mem_freep) char *data = str_format("{\"status\":\"%s\"}", status);

    qemu_says("MIGRATION", data);
}

/* The first byte of a command may come with a descriptor: kept as QEMU's end. */
static inline json_t *hears(void)
{
    char first = 0, rest[8192];
    int fd = -1;
    unsigned n_fds = 0;
    size_t n = 0;
    struct err err = {0};

    rig_pump(&rig);
    if (sock_recv(rig.qemu, &first, 1, &fd, 1, &n_fds, &err) != 1)
        return NULL;
    if (n_fds)
        stream = fd;
    rest[n++] = first;
    while (n < sizeof rest - 1 && recv(rig.qemu, rest + n, 1, MSG_DONTWAIT) == 1 &&
           rest[n++] != '\n')
        ;
    return json_loadb(rest, n, 0, NULL);
}

/* QEMU is told 'command', and answers 'rest' after 'event' (NULL: none). */
static inline void expect(const char *command, const char *event, const char *rest)
{
    CLEANUP(json_decrefp) json_t *heard = hears();

    if (!heard)
        fail_msg("QEMU was not told to %s", command);
    assert_string_equal(json_get_text(heard, "execute"), command);
    if (event)
        qemu_says(event, NULL);
    rig_qemu_answers(&rig, json_get_text(heard, "id"), rest);
}

static inline void expect_quiet(void)
{
    CLEANUP(json_decrefp) json_t *heard = hears();

    if (heard)
        fail_msg("QEMU was told to %s", json_get_text(heard, "execute"));
}

/* What each way asks of QEMU until the stream flows. */
struct beat {
    const char *command, *event, *answer;
};
static const struct beat background[] = {
    {"migrate-set-capabilities", NULL, OK},
    {"migrate-set-parameters", NULL, OK},
    {"getfd", NULL, OK},
    {"stop", "STOP", OK},
    {"query-status", NULL, PAUSED},
    {"transaction", NULL, OK},
    {"migrate", NULL, OK},
};
static const struct beat precopy[] = {
    {"migrate-set-capabilities", NULL, OK},
    {"migrate-set-parameters", NULL, OK},
    {"getfd", NULL, OK},
    {"migrate", NULL, OK},
};
static const struct beat still[] = {
    {"migrate-set-capabilities", NULL, OK},
    {"migrate-set-parameters", NULL, OK},
    {"getfd", NULL, OK},
    {"stop", "STOP", OK},
    {"query-status", NULL, PAUSED},
    {"migrate", NULL, OK},
};
enum { N_BACKGROUND = ARRAY_LEN(background), BEAT_STOP = 3, BEAT_SWITCH = 5 };

static inline void play(const struct beat *beats, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect(beats[i].command, beats[i].event, beats[i].answer);
}

static inline void begin_background(void)
{
    begin(ASK("background", OVERLAY));
    play(background, N_BACKGROUND);
    migration("active");
    qemu_says("RESUME", NULL);
}

/* The splitter does what 'word' says, and its report comes. */
static inline void splitter(char word)
{
    struct pollfd p = {.fd = rig.w.split.report, .events = POLLIN};

    assert_int_equal(write(stream, &word, 1), 1);
    while (rig.w.split.report >= 0) {
        assert_int_equal(poll(&p, 1, WORKER_TEST_MS), 1);
        split_ready(&rig.w);
    }
    rig_pump(&rig);
}

/* More than a socket holds, taken by nobody but who drops it. */
static inline void expect_dropped(void)
{
    static char much[1 << 20];
    struct timeval limit = {WORKER_TEST_MS / 1000, 0};

    assert_int_equal(setsockopt(stream, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(send(stream, much, sizeof much, MSG_NOSIGNAL), sizeof much);
    expect("query-migrate", NULL, "\"return\":{\"status\":\"active\"}");
    migration("completed");
}

static inline json_t *ask_state(void)
{
    bool failed;
    json_t *body = rig_answer(&rig, rig_ask(&rig, WORKER_MEMORY_STATE, ABOUT), &failed);

    assert_false(failed);
    return body;
}

static inline void end(const char *text)
{
    bool failed;

    json_decref(rig_answer(&rig, rig_ask(&rig, WORKER_MEMORY_END, text), &failed));
    assert_false(failed);
}

static inline void expect_refusal(uint16_t type, const char *text, const char *code)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *body = rig_answer(&rig, rig_ask(&rig, type, text), &failed);

    assert_true(failed);
    assert_string_equal(json_get_text(body, "code"), code);
}

static inline bool was_told(const char *event)
{
    rig_pump(&rig);
    json_decref(ask_state());
    for (size_t i = 0; i < json_array_size(rig.c.events); i++)
        if (str_eq(json_get_text(json_array_get(rig.c.events, i), "event"), event))
            return true;
    return false;
}

static inline void expect_clean(void)
{
    expect("migrate-set-capabilities", NULL, OK);
    expect("closefd", NULL, BAD);
}

/* 'error' is a part of it; "" when it has worked. */
static inline void expect_over(const char *error, bool switched)
{
    CLEANUP(json_decrefp) json_t *now = ask_state();

    assert_string_equal(json_get_text(now, "state"), "ended");
    if (!strstr(json_get_text(now, "error"), error) || !*error != !*json_get_text(now, "error"))
        fail_msg("ended with: %s", json_get_text(now, "error"));
    assert_int_equal(json_get_bool(now, "switched", false), switched);
    assert_int_equal(json_get_u64(now, "ram_bytes", 1), *error ? 0 : 8192);
    assert_true(was_told("WORKER_MEMORY_ENDED"));
}

static inline void expect_nobody_noticed(void)
{
    assert_false(was_told("STOP"));
    assert_false(was_told("RESUME"));
    assert_false(was_told("MIGRATION"));
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* The tests, unless the worker executes this program as its vmmd-split. */
static inline int memory_main(int argc, char **argv, const char *name,
                              const struct CMUnitTest *tests, size_t n)
{
    if (argc == 2 && strcmp(argv[0], "vmmd-split") == 0)
        return split_main(argv[1]);
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}
