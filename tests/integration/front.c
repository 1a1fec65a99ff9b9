/* vmmd-front: connections, streams, limits. */
#include "tests/lib/front_rig.h"
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"
#include "vmmd/front/proto.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)

static void *echo(void *arg)
{
    int fd = *(int *)arg;
    char buffer[5000];
    struct err err = {0};
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (!fs_write_all(fd, buffer, (size_t)n, &err))
            break;
    return NULL;
}

static int tcp_connect_from(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    at.sin_port = htons((in_port_t)front_world.port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Waits until the front closed a connection; returns the milliseconds that it took. */
static int64_t wait_closed(int fd)
{
    int64_t begin = clock_mono_ms();
    char sink[1024];

    do
        assert_true(front_wait(fd, POLLIN));
    while (read(fd, sink, sizeof sink) > 0);
    return clock_mono_ms() - begin;
}

static bool is_closed(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EINTR);
}

/* The output of an openssl s_client, owned by the caller. */
static char *s_client(const char *options)
{
    CLEANUP(mem_freep)
    char *command = str_format("openssl s_client -connect 127.0.0.1:%u %s 2>&1 </dev/null",
                               front_world.port, options);
    FILE *f = popen(command, "r");
    struct strbuf out = {0};
    char piece[1024];
    size_t n;

    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        strbuf_add(&out, piece, n);
    pclose(f);
    return strbuf_take(&out);
}

/* ---- stories ---- */

static void main_gets_the_stream_and_the_peers_address(void **state)
{
    struct front_client c = front_connect();
    struct front_conn conn;
    CLEANUP(closep) int stream = front_accept(&conn);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    uint8_t zero[32] = {0};
    char got[6] = "";
    long port = 0;

    curl_easy_getinfo(c.curl, CURLINFO_LOCAL_PORT, &port);
    assert_int_equal(conn.family, AF_INET);
    assert_memory_equal(conn.address, &loopback, 4);
    assert_int_equal(conn.port, port);
    assert_int_equal(conn.id, 1);
    assert_memory_equal(conn.cert_sha256, zero, 32);
    front_write(&c, "hello", 5);
    assert_int_equal(recv(stream, got, 5, MSG_WAITALL), 5);
    assert_string_equal(got, "hello");
    assert_int_equal(write(stream, "world", 5), 5);
    assert_int_equal(front_read(&c, got, 5), 5);
    assert_string_equal(got, "world");
    curl_easy_cleanup(c.curl);
    assert_int_equal(read(stream, got, 1), 0); /* the client's end reaches main */
}

static void a_mebibyte_goes_both_ways_byte_exact(void **state)
{
    struct front_client c = front_connect();
    struct front_conn conn;
    CLEANUP(closep) int stream = front_accept(&conn);
    CLEANUP(mem_freep) char *out = mem_alloc(MIB);
    CLEANUP(mem_freep) char *in = mem_alloc(MIB);
    size_t sent = 0, got = 0;
    pthread_t thread;

    random_bytes(out, MIB);
    assert_int_equal(pthread_create(&thread, NULL, echo, &stream), 0);
    while (got < MIB) {
        size_t n = 0;
        bool moved = false;
        if (sent < MIB && curl_easy_send(c.curl, out + sent, MIB - sent, &n) == CURLE_OK) {
            sent += n;
            moved = true;
        }
        if (curl_easy_recv(c.curl, in + got, MIB - got, &n) == CURLE_OK && n > 0) {
            got += n;
            moved = true;
        }
        if (!moved)
            assert_true(front_wait(c.sock, (short)(POLLIN | (sent < MIB ? POLLOUT : 0))));
    }
    assert_memory_equal(in, out, MIB);
    curl_easy_cleanup(c.curl);
    pthread_join(thread, NULL);
}

static void what_main_wrote_before_it_closed_arrives_whole(void **state)
{
    struct front_client c = front_connect();
    struct front_conn conn;
    int stream = front_accept(&conn);
    CLEANUP(mem_freep) char *out = mem_alloc(MIB);
    CLEANUP(mem_freep) char *in = mem_alloc(MIB + 1);
    struct err err = {0};

    random_bytes(out, MIB);
    assert_true(fs_write_all(stream, out, 100000, &err));
    close(stream);
    assert_int_equal(front_read(&c, in, MIB), 100000);
    assert_memory_equal(in, out, 100000);
    curl_easy_cleanup(c.curl);
}

static void an_early_refusal_survives_an_unread_upload(void **state)
{
    struct front_client c = front_connect();
    struct front_conn conn;
    int stream = front_accept(&conn);
    CLEANUP(mem_freep) char *junk = mem_alloc(100000);
    char got[8] = "";

    front_write(&c, junk, 100000);
    assert_int_equal(write(stream, "413", 3), 3);
    close(stream); /* with most of the upload unread */
    front_write(&c, junk, 100000);
    assert_int_equal(front_read(&c, got, sizeof got), 3);
    assert_string_equal(got, "413");
    curl_easy_cleanup(c.curl);
}

static void garbage_instead_of_tls_hurts_nobody(void **state)
{
    struct front_conn conn;
    uint8_t junk[300];

    for (int i = 0; i < 50; i++) {
        CLEANUP(closep) int fd = tcp_connect_from("127.0.0.3");
        struct err err = {0};
        random_bytes(junk, sizeof junk);
        if (i % 2)
            memcpy(junk, "\x16\x03\x01\x01\x20\x01", 6); /* begins like a ClientHello */
        if (fs_write_all(fd, junk, sizeof junk, &err))
            shutdown(fd, SHUT_WR);
        wait_closed(fd);
    }
    struct front_client c = front_connect();
    CLEANUP(closep) int stream = front_accept(&conn);
    curl_easy_cleanup(c.curl);
}

static void a_silent_client_is_cut_off_after_five_seconds(void **state)
{
    CLEANUP(closep) int silent = tcp_connect_from("127.0.0.1");
    CLEANUP(closep) int slow = tcp_connect_from("127.0.0.1");
    int64_t took;

    assert_int_equal(write(slow, "\x16", 1), 1);
    took = wait_closed(silent);
    assert_in_range(took, 4500, 8000);
    assert_true(wait_closed(slow) < 1000);
}

static void one_address_cannot_take_all_connections(void **state)
{
    int fds[FRONT_EACH];
    struct front_conn conn;
    int64_t deadline = clock_mono_ms() + FRONT_PATIENCE;
    struct front_client other;

    for (int i = 0; i < FRONT_EACH; i++)
        fds[i] = tcp_connect_from("127.0.0.4");
    CLEANUP(closep) int refused = tcp_connect_from("127.0.0.4");
    assert_true(wait_closed(refused) < 2000);
    for (int i = 0; i < FRONT_EACH; i++)
        assert_false(is_closed(fds[i]));
    other = front_connect_from("127.0.0.5");
    CLEANUP(closep) int stream = front_accept(&conn);
    curl_easy_cleanup(other.curl);
    close(fds[0]);
    for (bool served = false;
         !served;) { /* as soon as the front has seen it go, there is room again */
        CLEANUP(closep) int again = tcp_connect_from("127.0.0.4");
        struct pollfd p = {.fd = again, .events = POLLIN};
        served = poll(&p, 1, 300) == 0;
        assert_true(clock_mono_ms() < deadline);
    }
    for (int i = 1; i < FRONT_EACH; i++)
        close(fds[i]);
}

static void while_main_is_down_a_client_waits_and_is_then_told(void **state)
{
    char got[600] = "";
    int64_t begin = clock_mono_ms();
    struct front_client c;

    front_say_main_is(false);
    c = front_connect();
    front_read(&c, got, sizeof got - 1);
    assert_in_range(clock_mono_ms() - begin, 4500, 8000);
    assert_true(str_starts(got, "HTTP/1.1 503 "));
    assert_non_null(strstr(got, "application/problem+json"));
    assert_non_null(strstr(got, "\"code\":\"unavailable\""));
    curl_easy_cleanup(c.curl);
}

static void a_client_that_came_too_early_is_served_when_main_is_up(void **state)
{
    struct pollfd p = {.fd = front_world.link, .events = POLLIN};
    struct front_conn conn;
    struct front_client c;

    front_say_main_is(false);
    c = front_connect();
    assert_int_equal(poll(&p, 1, 100), 0);
    front_say_main_is(true);
    CLEANUP(closep) int stream = front_accept(&conn);
    assert_int_equal(write(stream, "x", 1), 1);
    char got[2] = "";
    assert_int_equal(front_read(&c, got, 1), 1);
    curl_easy_cleanup(c.curl);
}

static void sessions_are_resumed(void **state)
{
    CLEANUP(mem_freep) char *out = s_client("-tls1_2 -reconnect");
    unsigned reused = 0;

    for (const char *p = out; (p = strstr(p, "\nReused, TLSv1.2")); p++)
        reused++;
    if (reused != 5)
        fail_msg("%u of 5 sessions resumed: %s", reused, out);
}

static void only_modern_tls_and_http_1_1_are_spoken(void **state)
{
    CLEANUP(mem_freep) char *old = s_client("-tls1_1 -cipher ALL:@SECLEVEL=0");
    CLEANUP(mem_freep) char *http = s_client("-alpn h2,http/1.1");
    CLEANUP(mem_freep) char *h2 = s_client("-alpn h2");

    assert_non_null(strstr(old, "Cipher is (NONE)"));
    assert_non_null(strstr(http, "ALPN protocol: http/1.1"));
    assert_non_null(strstr(http, "TLSv1.3"));
    assert_non_null(strstr(h2, "no application protocol"));
}

static void the_front_has_no_rights_and_an_empty_root(void **state)
{
    struct front_client c = front_connect(); /* it accepts, so it has confined itself */
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root", front_world.front);
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/status", front_world.front);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int fd = open(path, O_RDONLY);
    struct err err = {0};
    int entries = 0;
    DIR *d;

    assert_true(fs_read_all(fd, 65536, &text, NULL, &err));
    assert_non_null(strstr(text, "\nCapEff:\t0000000000000000"));
    assert_non_null(strstr(text, "\nCapPrm:\t0000000000000000"));
    assert_non_null(strstr(text, "\nNoNewPrivs:\t1"));
    d = opendir(root);
    if (geteuid() == 0) {
        assert_non_null(d);
        while (readdir(d))
            entries++;
        assert_int_equal(entries, 2); /* "." and ".." */
    }
    if (d)
        closedir(d);
    curl_easy_cleanup(c.curl);
}

static void a_key_that_does_not_fit_is_a_configuration_error(void **state)
{
    int status = 0;

    front_start("cert.pem", NULL);
    assert_int_equal(waitpid(front_world.front, &status, 0), front_world.front);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_CONFIG);
    close(front_world.control);
    close(front_world.link);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, front_started, front_stopped)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(main_gets_the_stream_and_the_peers_address),
        STORY(a_mebibyte_goes_both_ways_byte_exact),
        STORY(what_main_wrote_before_it_closed_arrives_whole),
        STORY(an_early_refusal_survives_an_unread_upload),
        STORY(garbage_instead_of_tls_hurts_nobody),
        STORY(a_silent_client_is_cut_off_after_five_seconds),
        STORY(one_address_cannot_take_all_connections),
        STORY(while_main_is_down_a_client_waits_and_is_then_told),
        STORY(a_client_that_came_too_early_is_served_when_main_is_up),
        STORY(sessions_are_resumed),
        STORY(only_modern_tls_and_http_1_1_are_spoken),
        STORY(the_front_has_no_rights_and_an_empty_root),
        cmocka_unit_test(a_key_that_does_not_fit_is_a_configuration_error),
    };

    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, front_world_make, front_world_remove);
}
