/* Sockets that carry descriptors: none is lost, none is leaked. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void pair(int type, int ends[2])
{
    struct err err = {0};

    if (!sock_pair(type, ends, &err))
        fail_msg("%s", err.detail);
}

static void descriptors_arrive_open_and_close_on_exec(void **state)
{
    int ends[2], pipe_ends[2], got[4];
    struct err err = {0};
    unsigned n = 0;
    char byte = 0;

    pair(SOCK_SEQPACKET, ends);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_true(sock_send(ends[0], "x", 1, pipe_ends, 2, &err));
    assert_int_equal(sock_recv(ends[1], &byte, 1, got, 4, &n, &err), 1);
    assert_int_equal(n, 2);
    assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got[1], "y", 1), 1);
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pipe_ends[i]);
        close(got[i]);
    }
}

static void unexpected_descriptors_are_closed_and_refused(void **state)
{
    int ends[2], fds[3], got[1];
    struct err err = {0};
    unsigned n = 9, before;
    char byte;

    pair(SOCK_STREAM, ends);
    for (int i = 0; i < 3; i++)
        fds[i] = dup(ends[0]);
    assert_true(sock_send(ends[0], "x", 1, fds, 3, &err));
    before = open_fds();
    assert_int_equal(sock_recv(ends[1], &byte, 1, got, 1, &n, &err), -1);
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_int_equal(open_fds(), before);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(ends[0]);
    close(ends[1]);
}

static void a_dead_peer_is_unavailable_and_no_signal(void **state)
{
    struct err err = {0};
    int ends[2];
    char byte;

    pair(SOCK_STREAM, ends);
    close(ends[1]);
    assert_false(sock_send(ends[0], "x", 1, NULL, 0, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_int_equal(sock_recv(ends[0], &byte, 1, NULL, 0, NULL, &err), 0);
    close(ends[0]);
}

static void an_empty_socket_times_out(void **state)
{
    struct err err = {0};
    int ends[2];
    char byte;

    pair(SOCK_STREAM, ends);
    assert_true(sock_set_timeout_ms(ends[0], 20, &err));
    assert_int_equal(sock_recv(ends[0], &byte, 1, NULL, 0, NULL, &err), -1);
    assert_int_equal(err.code, ERR_TIMEOUT);
    close(ends[0]);
    close(ends[1]);
}

static void *drain(void *arg)
{
    int sock = *(int *)arg;
    uintptr_t sum = 0;
    char piece[4096];

    for (ssize_t n; (n = read(sock, piece, sizeof piece)) > 0;)
        sum += (uintptr_t)n;
    return (void *)sum;
}

static void a_long_message_is_written_to_its_end(void **state)
{
    const size_t len = 4u << 20;
    CLEANUP(mem_freep) char *data = mem_alloc(len);
    struct err err = {0};
    void *sum = NULL;
    pthread_t reader;
    int ends[2], fd;

    pair(SOCK_STREAM, ends);
    fd = dup(ends[0]);
    assert_true(thread_start(&reader, "reader", drain, &ends[1], &err));
    assert_true(sock_send(ends[0], data, len, &fd, 1, &err));
    close(fd);
    close(ends[0]);
    pthread_join(reader, &sum);
    assert_int_equal((uintptr_t)sum, len);
    close(ends[1]);
}

static void too_many_descriptors_are_a_failure_not_an_overrun(void **state)
{
    int ends[2], fds[SOCK_MAX_FDS + 1];
    struct err err = {0};

    pair(SOCK_STREAM, ends);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = ends[0];
    assert_false(sock_send(ends[0], "x", 1, fds, SOCK_MAX_FDS + 1, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_arrive_open_and_close_on_exec),
        cmocka_unit_test(unexpected_descriptors_are_closed_and_refused),
        cmocka_unit_test(a_dead_peer_is_unavailable_and_no_signal),
        cmocka_unit_test(an_empty_socket_times_out),
        cmocka_unit_test(a_long_message_is_written_to_its_end),
        cmocka_unit_test(too_many_descriptors_are_a_failure_not_an_overrun),
    };

    return cmocka_run_group_tests_name("base/sock", tests, NULL, NULL);
}
