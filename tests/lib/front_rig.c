/* See front_rig.h. */
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

struct front_world front_world;

struct front_world front_world;

/* ---- the world ---- */

static int open_below(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", front_world.dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

int front_world_make(void **state)
{
    CLEANUP(mem_freep) char *empty = NULL;
    CLEANUP(mem_freep) char *command = NULL;

    front_world.dir = tmp_dir_make();
    empty = str_format("%s/empty", front_world.dir);
    assert_int_equal(mkdir(empty, 0755), 0);
    command = str_format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                         "-subj /CN=localhost -days 2 -keyout %s/key.pem -out %s/cert.pem 2>%s/log",
                         front_world.dir, front_world.dir, front_world.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

int front_world_remove(void **state)
{
    tmp_dir_remove(front_world.dir);
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

_Noreturn static void become_front(const int *fds, unsigned n, const char *option)
{
    char each[8];
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-front", getenv("VMMD_BIN"));
    CLEANUP(mem_freep) char *empty = str_format("%s/empty", front_world.dir);
    int high[8];

    snprintf(each, sizeof each, "%d", FRONT_EACH);
    for (unsigned i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
    for (unsigned i = 0; i < n; i++)
        dup2(high[i], 3 + (int)i);
    if (chdir(empty) == 0)
        execl(program, "vmmd-front", "--connections", "64", "--per-address", each, option, NULL);
    _exit(99);
}

void front_start(const char *key_file, const char *option)
{
    struct err err = {0};
    int control[2], link[2];
    int listener = listen_somewhere(&front_world.port);
    int fds[] = {-1, -1, listener, open_below("cert.pem"), open_below(key_file)};

    assert_true(sock_pair(SOCK_SEQPACKET, control, &err));
    assert_true(sock_pair(SOCK_SEQPACKET, link, &err));
    front_world.control = control[0];
    front_world.link = link[0];
    fds[0] = control[1];
    fds[1] = link[1];
    front_world.front = fork();
    if (front_world.front == 0)
        become_front(fds, ARRAY_LEN(fds), option);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

void front_say_main_is(bool up)
{
    struct front_state state = {.version = FRONT_VERSION, .main_up = up};
    struct err err = {0};

    assert_true(sock_send(front_world.control, &state, sizeof state, NULL, 0, &err));
}

int front_started(void **state)
{
    front_start("key.pem", NULL);
    front_say_main_is(true);
    return 0;
}

int front_start_asking(void **state)
{
    front_start("key.pem", "--certificates");
    front_say_main_is(true);
    return 0;
}

/* Every test ends with the front leaving because its parent does. */
int front_stopped(void **state)
{
    int status = -1;

    close(front_world.control);
    waitpid(front_world.front, &status, 0);
    close(front_world.link);
    return status;
}

/* ---- main ---- */

int front_accept(struct front_conn *conn)
{
    struct err err = {0};
    struct pollfd p = {.fd = front_world.link, .events = POLLIN};
    unsigned n_fds = 0;
    int fd = -1;

    assert_int_equal(poll(&p, 1, FRONT_PATIENCE), 1);
    assert_int_equal(sock_recv(front_world.link, conn, sizeof *conn, &fd, 1, &n_fds, &err),
                     sizeof *conn);
    assert_int_equal(n_fds, 1);
    assert_int_equal(conn->version, FRONT_VERSION);
    return fd;
}

/* ---- clients ---- */

struct front_client front_connect_as(const char *address, const char *certificate)
{
    struct front_client c = {.curl = curl_easy_init()};
    CLEANUP(mem_freep) char *url = str_format("https://127.0.0.1:%u/", front_world.port);
    CURLcode code;

    curl_easy_setopt(c.curl, CURLOPT_URL, url);
    curl_easy_setopt(c.curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(c.curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c.curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(c.curl, CURLOPT_TIMEOUT_MS, (long)FRONT_PATIENCE);
    curl_easy_setopt(c.curl, CURLOPT_INTERFACE, address);
    if (certificate) {
        CLEANUP(mem_freep) char *cert = str_format("%s/%s.pem", front_world.dir, certificate);
        CLEANUP(mem_freep) char *key = str_format("%s/%s.key", front_world.dir, certificate);
        curl_easy_setopt(c.curl, CURLOPT_SSLCERT, cert);
        curl_easy_setopt(c.curl, CURLOPT_SSLKEY, key);
    }
    code = curl_easy_perform(c.curl);
    if (code != CURLE_OK)
        fail_msg("connect: %s", curl_easy_strerror(code));
    curl_easy_getinfo(c.curl, CURLINFO_ACTIVESOCKET, &c.sock);
    return c;
}

struct front_client front_connect_from(const char *address)
{
    return front_connect_as(address, NULL);
}

struct front_client front_connect(void)
{
    return front_connect_from("127.0.0.1");
}

bool front_wait(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, FRONT_PATIENCE) == 1;
}

/* Reads until the peer closes or 'cap' bytes are there. */
size_t front_read(const struct front_client *c, char *out, size_t cap)
{
    size_t at = 0;

    while (at < cap) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(c->curl, out + at, cap - at, &n);
        if (code == CURLE_AGAIN) {
            if (!front_wait(c->sock, POLLIN))
                fail_msg("the front sends nothing");
            continue;
        }
        if (code != CURLE_OK || n == 0)
            break;
        at += n;
    }
    return at;
}

void front_write(const struct front_client *c, const char *data, size_t len)
{
    while (len) {
        size_t n = 0;
        CURLcode code = curl_easy_send(c->curl, data, len, &n);
        if (code == CURLE_AGAIN)
            assert_true(front_wait(c->sock, POLLOUT));
        else if (code != CURLE_OK)
            fail_msg("send: %s", curl_easy_strerror(code));
        data += n;
        len -= n;
    }
}
