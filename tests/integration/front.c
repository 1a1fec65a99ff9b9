/* vmmd-front, alone: the test is its parent, its main and its clients. */
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

#define EACH     8 /* connections from one address */
#define PATIENCE 20000
#define MIB      (1u << 20)

static struct {
    char *dir;
    pid_t front;
    int control, link; /* the parent's end, main's end */
    unsigned port;
} world;

/* ---- the world ---- */

static int open_below(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", world.dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int make_world(void **state)
{
    CLEANUP(mem_freep) char *empty = NULL;
    CLEANUP(mem_freep) char *command = NULL;

    world.dir = tmp_dir_make();
    empty = str_format("%s/empty", world.dir);
    assert_int_equal(mkdir(empty, 0755), 0);
    command = str_format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                         "-subj /CN=localhost -days 2 -keyout %s/key.pem -out %s/cert.pem 2>%s/log",
                         world.dir, world.dir, world.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

static int remove_world(void **state)
{
    tmp_dir_remove(world.dir);
    return 0;
}

static int listen_somewhere(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    at.sin_addr.s_addr = htonl(INADDR_ANY); /* the clients come from several 127.0.0.x */
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

_Noreturn static void become_front(const int *fds, unsigned n)
{
    char each[8];
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-front", getenv("VMMD_BIN"));
    CLEANUP(mem_freep) char *empty = str_format("%s/empty", world.dir);
    int high[8];

    snprintf(each, sizeof each, "%d", EACH);
    for (unsigned i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
    for (unsigned i = 0; i < n; i++)
        dup2(high[i], 3 + (int)i);
    if (chdir(empty) == 0)
        execl(program, "vmmd-front", "--connections", "64", "--per-address", each, NULL);
    _exit(99);
}

static void start_front(const char *key_file)
{
    struct err err = {0};
    int control[2], link[2];
    int listener = listen_somewhere(&world.port);
    int fds[] = {-1, -1, listener, open_below("cert.pem"), open_below(key_file)};

    assert_true(sock_pair(SOCK_SEQPACKET, control, &err));
    assert_true(sock_pair(SOCK_SEQPACKET, link, &err));
    world.control = control[0];
    world.link = link[0];
    fds[0] = control[1];
    fds[1] = link[1];
    world.front = fork();
    if (world.front == 0)
        become_front(fds, ARRAY_LEN(fds));
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void say_main_is(bool up)
{
    struct front_state state = {.version = FRONT_VERSION, .main_up = up};
    struct err err = {0};

    assert_true(sock_send(world.control, &state, sizeof state, NULL, 0, &err));
}

static int start(void **state)
{
    start_front("key.pem");
    say_main_is(true);
    return 0;
}

/* Every test ends with the front leaving because its parent does. */
static int stop(void **state)
{
    int status = -1;

    close(world.control);
    waitpid(world.front, &status, 0);
    close(world.link);
    return status;
}

/* ---- main ---- */

static int accept_conn(struct front_conn *conn)
{
    struct err err = {0};
    struct pollfd p = {.fd = world.link, .events = POLLIN};
    unsigned n_fds = 0;
    int fd = -1;

    assert_int_equal(poll(&p, 1, PATIENCE), 1);
    assert_int_equal(sock_recv(world.link, conn, sizeof *conn, &fd, 1, &n_fds, &err), sizeof *conn);
    assert_int_equal(n_fds, 1);
    assert_int_equal(conn->version, FRONT_VERSION);
    return fd;
}

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

/* ---- clients ---- */

struct client {
    CURL *curl;
    curl_socket_t sock;
};

static struct client tls_connect_from(const char *address)
{
    struct client c = {.curl = curl_easy_init()};
    CLEANUP(mem_freep) char *url = str_format("https://127.0.0.1:%u/", world.port);
    CURLcode code;

    curl_easy_setopt(c.curl, CURLOPT_URL, url);
    curl_easy_setopt(c.curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(c.curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c.curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(c.curl, CURLOPT_TIMEOUT_MS, (long)PATIENCE);
    curl_easy_setopt(c.curl, CURLOPT_INTERFACE, address);
    code = curl_easy_perform(c.curl);
    if (code != CURLE_OK)
        fail_msg("connect: %s", curl_easy_strerror(code));
    curl_easy_getinfo(c.curl, CURLINFO_ACTIVESOCKET, &c.sock);
    return c;
}

static struct client tls_connect(void)
{
    return tls_connect_from("127.0.0.1");
}

static bool wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, PATIENCE) == 1;
}

/* Reads until the peer closes or 'cap' bytes are there. */
static size_t read_tls(const struct client *c, char *out, size_t cap)
{
    size_t at = 0;

    while (at < cap) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(c->curl, out + at, cap - at, &n);
        if (code == CURLE_AGAIN) {
            if (!wait_for(c->sock, POLLIN))
                fail_msg("the front sends nothing");
            continue;
        }
        if (code != CURLE_OK || n == 0)
            break;
        at += n;
    }
    return at;
}

static void write_tls(const struct client *c, const char *data, size_t len)
{
    while (len) {
        size_t n = 0;
        CURLcode code = curl_easy_send(c->curl, data, len, &n);
        if (code == CURLE_AGAIN)
            assert_true(wait_for(c->sock, POLLOUT));
        else if (code != CURLE_OK)
            fail_msg("send: %s", curl_easy_strerror(code));
        data += n;
        len -= n;
    }
}

static int tcp_connect_from(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    at.sin_port = htons((in_port_t)world.port);
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
        assert_true(wait_for(fd, POLLIN));
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
                               world.port, options);
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
    struct client c = tls_connect();
    struct front_conn conn;
    CLEANUP(closep) int stream = accept_conn(&conn);
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
    write_tls(&c, "hello", 5);
    assert_int_equal(recv(stream, got, 5, MSG_WAITALL), 5);
    assert_string_equal(got, "hello");
    assert_int_equal(write(stream, "world", 5), 5);
    assert_int_equal(read_tls(&c, got, 5), 5);
    assert_string_equal(got, "world");
    curl_easy_cleanup(c.curl);
    assert_int_equal(read(stream, got, 1), 0); /* the client's end reaches main */
}

static void a_mebibyte_goes_both_ways_byte_exact(void **state)
{
    struct client c = tls_connect();
    struct front_conn conn;
    CLEANUP(closep) int stream = accept_conn(&conn);
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
            assert_true(wait_for(c.sock, (short)(POLLIN | (sent < MIB ? POLLOUT : 0))));
    }
    assert_memory_equal(in, out, MIB);
    curl_easy_cleanup(c.curl);
    pthread_join(thread, NULL);
}

static void what_main_wrote_before_it_closed_arrives_whole(void **state)
{
    struct client c = tls_connect();
    struct front_conn conn;
    int stream = accept_conn(&conn);
    CLEANUP(mem_freep) char *out = mem_alloc(MIB);
    CLEANUP(mem_freep) char *in = mem_alloc(MIB + 1);
    struct err err = {0};

    random_bytes(out, MIB);
    assert_true(fs_write_all(stream, out, 100000, &err));
    close(stream);
    assert_int_equal(read_tls(&c, in, MIB), 100000);
    assert_memory_equal(in, out, 100000);
    curl_easy_cleanup(c.curl);
}

static void an_early_refusal_survives_an_unread_upload(void **state)
{
    struct client c = tls_connect();
    struct front_conn conn;
    int stream = accept_conn(&conn);
    CLEANUP(mem_freep) char *junk = mem_alloc(100000);
    char got[8] = "";

    write_tls(&c, junk, 100000);
    assert_int_equal(write(stream, "413", 3), 3);
    close(stream); /* with most of the upload unread */
    write_tls(&c, junk, 100000);
    assert_int_equal(read_tls(&c, got, sizeof got), 3);
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
    struct client c = tls_connect();
    CLEANUP(closep) int stream = accept_conn(&conn);
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
    int fds[EACH];
    struct front_conn conn;
    int64_t deadline = clock_mono_ms() + PATIENCE;
    struct client other;

    for (int i = 0; i < EACH; i++)
        fds[i] = tcp_connect_from("127.0.0.4");
    CLEANUP(closep) int refused = tcp_connect_from("127.0.0.4");
    assert_true(wait_closed(refused) < 2000);
    for (int i = 0; i < EACH; i++)
        assert_false(is_closed(fds[i]));
    other = tls_connect_from("127.0.0.5");
    CLEANUP(closep) int stream = accept_conn(&conn);
    curl_easy_cleanup(other.curl);
    close(fds[0]);
    for (bool served = false;
         !served;) { /* as soon as the front has seen it go, there is room again */
        CLEANUP(closep) int again = tcp_connect_from("127.0.0.4");
        struct pollfd p = {.fd = again, .events = POLLIN};
        served = poll(&p, 1, 300) == 0;
        assert_true(clock_mono_ms() < deadline);
    }
    for (int i = 1; i < EACH; i++)
        close(fds[i]);
}

static void while_main_is_down_a_client_waits_and_is_then_told(void **state)
{
    char got[600] = "";
    int64_t begin = clock_mono_ms();
    struct client c;

    say_main_is(false);
    c = tls_connect();
    read_tls(&c, got, sizeof got - 1);
    assert_in_range(clock_mono_ms() - begin, 4500, 8000);
    assert_true(str_starts(got, "HTTP/1.1 503 "));
    assert_non_null(strstr(got, "application/problem+json"));
    assert_non_null(strstr(got, "\"code\":\"unavailable\""));
    curl_easy_cleanup(c.curl);
}

static void a_client_that_came_too_early_is_served_when_main_is_up(void **state)
{
    struct pollfd p = {.fd = world.link, .events = POLLIN};
    struct front_conn conn;
    struct client c;

    say_main_is(false);
    c = tls_connect();
    assert_int_equal(poll(&p, 1, 100), 0);
    say_main_is(true);
    CLEANUP(closep) int stream = accept_conn(&conn);
    assert_int_equal(write(stream, "x", 1), 1);
    char got[2] = "";
    assert_int_equal(read_tls(&c, got, 1), 1);
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
    struct client c = tls_connect(); /* it accepts, so it has confined itself */
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root", world.front);
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/status", world.front);
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

    start_front("cert.pem");
    assert_int_equal(waitpid(world.front, &status, 0), world.front);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_CONFIG);
    close(world.control);
    close(world.link);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, start, stop)

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
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
