/* Frames: whole under every split of the stream, and nothing hostile is taken for one. */
#include "tests/lib/harness.h"

#include "core/base/frame.h"
#include "core/base/fs.h"
#include "core/base/sock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct wire {
    int ends[2];
    struct frame_reader r;
};

static void wire_open(struct wire *w)
{
    struct err err = {0};

    assert_true(sock_pair(SOCK_STREAM, w->ends, &err));
    assert_int_equal(fcntl(w->ends[1], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    w->r = (struct frame_reader){.sock = w->ends[1]};
}

static void wire_close(struct wire *w)
{
    frame_reader_clear(&w->r);
    close(w->ends[0]);
    close(w->ends[1]);
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Reads all that lies in the socket. Returns the last frame_fill(). */
static int drain(struct wire *w, struct err *err)
{
    int got;

    while ((got = frame_fill(&w->r, err)) > 0)
        ;
    return got;
}

static size_t put_frame(char *at, uint16_t type, uint32_t id, const char *text)
{
    struct frame_header head = {.length = (uint32_t)strlen(text), .type = type, .id = id};

    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, text, strlen(text));
    return sizeof head + strlen(text);
}

static void expect_frame(struct wire *w, uint16_t type, uint32_t id, const char *text)
{
    struct err err = {0};
    struct frame f;

    assert_int_equal(frame_next(&w->r, &f, &err), 1);
    assert_int_equal(f.head.type, type);
    assert_int_equal(f.head.id, id);
    assert_int_equal(f.head.length, strlen(text));
    assert_string_equal(f.payload, text); /* ends with NUL though the next frame follows */
}

static void every_split_of_the_stream_gives_the_same_frames(void **state)
{
    char bytes[256];
    size_t len = put_frame(bytes, 1, 7, "hello");

    len += put_frame(bytes + len, 2, 8, "");
    len += put_frame(bytes + len, 3, 9, "a longer payload, longer than a header");
    for (size_t cut = 0; cut <= len; cut++) {
        struct wire w;
        struct err err = {0};
        struct frame f;
        wire_open(&w);
        assert_int_equal(write(w.ends[0], bytes, cut), (ssize_t)cut);
        drain(&w, &err);
        if (cut < sizeof(struct frame_header))
            assert_int_equal(frame_next(&w.r, &f, &err), 0);
        assert_int_equal(write(w.ends[0], bytes + cut, len - cut), (ssize_t)(len - cut));
        drain(&w, &err);
        expect_frame(&w, 1, 7, "hello");
        expect_frame(&w, 2, 8, "");
        expect_frame(&w, 3, 9, "a longer payload, longer than a header");
        assert_int_equal(frame_next(&w.r, &f, &err), 0);
        wire_close(&w);
    }
}

static void byte_by_byte_works_too(void **state)
{
    char bytes[64];
    size_t len = put_frame(bytes, 5, 1, "xyz");
    struct wire w;
    struct err err = {0};
    struct frame f;

    wire_open(&w);
    for (size_t i = 0; i + 1 < len; i++) {
        assert_int_equal(write(w.ends[0], bytes + i, 1), 1);
        assert_int_equal(frame_fill(&w.r, &err), 1);
        assert_int_equal(frame_next(&w.r, &f, &err), 0);
    }
    assert_int_equal(write(w.ends[0], bytes + len - 1, 1), 1);
    assert_int_equal(frame_fill(&w.r, &err), 1);
    expect_frame(&w, 5, 1, "xyz");
    wire_close(&w);
}

static void an_idle_reader_holds_no_memory(void **state)
{
    char bytes[64];
    size_t len = put_frame(bytes, 5, 1, "xyz");
    struct wire w;
    struct err err = {0};
    struct frame f;

    wire_open(&w);
    assert_int_equal(write(w.ends[0], bytes, len), (ssize_t)len);
    assert_int_equal(frame_fill(&w.r, &err), 1);
    expect_frame(&w, 5, 1, "xyz");
    assert_non_null(w.r.buffer);
    assert_int_equal(frame_next(&w.r, &f, &err), 0);
    assert_null(w.r.buffer);
    wire_close(&w);
}

static void the_largest_payload_passes_and_one_byte_more_does_not(void **state)
{
    struct frame_header head = {.length = FRAME_MAX_PAYLOAD + 1, .type = 1};
    struct wire w;
    struct err err = {0};
    struct frame f;
    char *big = calloc(1, FRAME_MAX_PAYLOAD);
    pid_t child;
    int status;

    wire_open(&w);
    assert_false(frame_send(w.ends[0], &head, big, NULL, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    head.length = FRAME_MAX_PAYLOAD;
    assert_int_equal(fcntl(w.ends[1], F_SETFL, O_RDWR), 0);
    child = fork();
    if (child == 0)
        _exit(frame_send(w.ends[0], &head, big, NULL, &err) ? 0 : 1);
    assert_true(frame_read(&w.r, &f, &err));
    assert_int_equal(f.head.length, FRAME_MAX_PAYLOAD);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(big);
    wire_close(&w);
}

static void a_length_beyond_the_limit_breaks_the_conversation(void **state)
{
    static const uint32_t lengths[] = {101, FRAME_MAX_PAYLOAD + 1, 0x7fffffff, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        struct frame_header head = {.length = lengths[i], .type = 1};
        struct wire w;
        struct err err = {0};
        struct frame f;
        wire_open(&w);
        w.r.max_payload = 100;
        assert_int_equal(write(w.ends[0], &head, sizeof head), sizeof head);
        drain(&w, &err);
        assert_int_equal(frame_next(&w.r, &f, &err), -1);
        wire_close(&w);
    }
}

static void descriptors_arrive_with_their_frame(void **state)
{
    unsigned before = open_fds();
    struct frame_header head = {.length = 3, .type = 1, .n_fds = 2};
    int pipes[2], taken;
    struct wire w;
    struct err err = {0};
    struct frame f;

    wire_open(&w);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(frame_send(w.ends[0], &head, "abc", pipes, &err));
    drain(&w, &err);
    assert_int_equal(frame_next(&w.r, &f, &err), 1);
    assert_int_equal(f.head.n_fds, 2);
    taken = TAKE_FD(f.fds[1]);
    frame_close_fds(&f);
    assert_int_equal(write(taken, "x", 1), 1); /* it is the pipe's end, and still open */
    close(taken);
    close(pipes[0]);
    close(pipes[1]);
    wire_close(&w);
    assert_int_equal(open_fds(), before);
}

static void two_full_loads_of_descriptors_may_wait(void **state)
{
    unsigned before = open_fds();
    struct frame_header head = {.length = 9, .type = 1, .n_fds = FRAME_MAX_FDS};
    int fds[FRAME_MAX_FDS];
    struct wire w;
    struct err err = {0};
    struct frame f;
    char piece[sizeof head + 9];

    wire_open(&w);
    for (unsigned i = 0; i < FRAME_MAX_FDS; i++)
        fds[i] = w.ends[0];
    memcpy(piece, &head, sizeof head);
    memcpy(piece + sizeof head, "123456789", 9);
    /* The first frame's end comes with the second's beginning. */
    assert_true(sock_send(w.ends[0], piece, sizeof piece - 1, fds, FRAME_MAX_FDS, &err));
    assert_true(sock_send(w.ends[0], piece + sizeof piece - 1, 1, NULL, 0, &err));
    assert_true(sock_send(w.ends[0], piece, sizeof piece, fds, FRAME_MAX_FDS, &err));
    assert_int_equal(frame_fill(&w.r, &err), 1);
    assert_int_equal(frame_fill(&w.r, &err), 1);
    for (unsigned i = 0; i < 2; i++) {
        while (frame_next(&w.r, &f, &err) == 0)
            assert_int_equal(frame_fill(&w.r, &err), 1);
        assert_int_equal(f.head.n_fds, FRAME_MAX_FDS);
        frame_close_fds(&f);
    }
    wire_close(&w);
    assert_int_equal(open_fds(), before);
}

static void descriptors_that_are_named_but_missing_break_it(void **state)
{
    struct frame_header head = {.length = 0, .type = 1, .n_fds = 1};
    struct wire w;
    struct err err = {0};
    struct frame f;

    wire_open(&w);
    assert_int_equal(write(w.ends[0], &head, sizeof head), sizeof head);
    drain(&w, &err);
    assert_int_equal(frame_next(&w.r, &f, &err), -1);
    wire_close(&w);
}

static void unasked_descriptors_are_closed(void **state)
{
    unsigned before = open_fds();
    struct frame_header head = {.length = 0, .type = 1};
    struct wire w;
    struct err err = {0};

    wire_open(&w);
    assert_true(sock_send(w.ends[0], &head, sizeof head, &w.ends[0], 1, &err));
    drain(&w, &err);
    expect_frame(&w, 1, 0, "");
    wire_close(&w);
    assert_int_equal(open_fds(), before);
}

static void a_stream_that_ends_in_mid_frame_is_unavailable(void **state)
{
    char bytes[64];
    size_t len = put_frame(bytes, 5, 1, "xyz");
    struct wire w;
    struct err err = {0};
    struct frame f;

    wire_open(&w);
    assert_int_equal(write(w.ends[0], bytes, len - 1), (ssize_t)(len - 1));
    shutdown(w.ends[0], SHUT_WR);
    assert_false(frame_read(&w.r, &f, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    wire_close(&w);
}

static void garbage_never_does_more_than_end_the_conversation(void **state)
{
    srandom(1);
    for (unsigned round = 0; round < 2000; round++) {
        unsigned char bytes[200];
        struct wire w;
        struct err err = {0};
        struct frame f;
        int got = 1;
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(random() & (round % 3 ? 0x0f : 0xff));
        wire_open(&w);
        w.r.max_payload = 1000;
        assert_int_equal(write(w.ends[0], bytes, sizeof bytes), sizeof bytes);
        drain(&w, &err);
        while ((got = frame_next(&w.r, &f, &err)) > 0)
            assert_int_equal(f.payload[f.head.length], 0);
        assert_in_range(got + 1, 0, 1);
        wire_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_of_the_stream_gives_the_same_frames),
        cmocka_unit_test(byte_by_byte_works_too),
        cmocka_unit_test(an_idle_reader_holds_no_memory),
        cmocka_unit_test(the_largest_payload_passes_and_one_byte_more_does_not),
        cmocka_unit_test(a_length_beyond_the_limit_breaks_the_conversation),
        cmocka_unit_test(descriptors_arrive_with_their_frame),
        cmocka_unit_test(two_full_loads_of_descriptors_may_wait),
        cmocka_unit_test(descriptors_that_are_named_but_missing_break_it),
        cmocka_unit_test(unasked_descriptors_are_closed),
        cmocka_unit_test(a_stream_that_ends_in_mid_frame_is_unavailable),
        cmocka_unit_test(garbage_never_does_more_than_end_the_conversation),
    };

    return cmocka_run_group_tests_name("base/frame", tests, NULL, NULL);
}
