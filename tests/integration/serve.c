/* Disks of snapshots by NBD, with the real daemon, a real QEMU whose guest writes meanwhile, and
 * programs of others that read. */
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"
#include "tests/lib/rig_shell.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS 30000
#define NBD     "'nbd+unix:///?socket=d.sock'"

static struct rig rig;
static char *out; /* of the last line of a shell */
static pid_t server;

static void must(const char *line)
{
    if (rig_shell(&rig, line, &out) != 0)
        fail_msg("%s: %s", line, out);
}

/* Waits until there are so many files in the pool: what a server needed goes behind it. */
static void expect_files(size_t n)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (rig_files(&rig) != n) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%zu files are left", rig_files(&rig));
        (void)poll(NULL, 0, 20); /* asked again until they are gone */
    }
}

/* ---- the server ---- */

static void serve(const char *snapshot)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    server = fork();
    assert_true(server >= 0);
    if (!server) {
        if (chdir(rig.dir) == 0)
            execlp("vmmctl", "vmmctl", "snapshot", "serve", "web", snapshot, "--listen", "d.sock",
                   NULL);
        _exit(127);
    }
    while (!rig_matches(&rig, "d.sock")) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("vmmctl does not listen");
        (void)poll(NULL, 0, 20); /* asked again until it does */
    }
}

static void end_server(void)
{
    int status;

    assert_int_equal(kill(server, SIGTERM), 0);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(rig_matches(&rig, "d.sock"), 0);
}

/* The socket has its name a moment before anybody listens. */
static int connect_here(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    snprintf(at.sun_path, sizeof at.sun_path, "%s/d.sock", rig.dir);
    while (connect(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        if (errno != ECONNREFUSED || clock_mono_ms() > deadline_ms)
            fail_msg("nobody listens: %s", strerror(errno));
        (void)poll(NULL, 0, 20); /* asked again until somebody does */
    }
    return fd;
}

/* How much came before the other side hung up. */
static size_t read_to_end(int fd)
{
    char piece[4096];
    size_t sum = 0;
    ssize_t n;

    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        sum += (size_t)n;
    return sum;
}

/* ---- */

static int setup(void **state)
{
    const char *bin = getenv("VMMD_BIN"), *path = getenv("PATH");
    CLEANUP(mem_freep) char *here = realpath(bin ? bin : "build/dev", NULL);
    CLEANUP(mem_freep)
    char *with_bin = path && str_starts(path, here) ? str_dup(path)
                                                    : str_format("%s:%s", here, path ? path : "");
    CLEANUP(mem_freep) char *spec = counter_spec("web");
    CLEANUP(mem_freep) char *socket_path = NULL;

    rig_make(&rig, 0);
    socket_path = str_format("%s/run/api.sock", rig.dir);
    setenv("PATH", with_bin, 1);
    setenv("VMMD_SOCKET", socket_path, 1);
    setenv("HOME", rig.dir, 1);
    unsetenv("XDG_CONFIG_HOME");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    must("vmmctl snapshot create web a -q");
    return 0;
}

static int teardown(void **state)
{
    mem_freep(&out);
    rig_remove(&rig);
    return 0;
}

/* While the guest writes on. An export of the same snapshot is what it is compared with. */
static void what_is_read_is_the_snapshot_whatever_the_vm_writes(void **state)
{
    CLEANUP(mem_freep) char *image = str_format("%s/first.raw", rig.dir);

    must("vmmctl snapshot export web a --format raw -f exported.raw");
    serve("a");
    must("qemu-img convert -O raw " NBD " first.raw && cmp first.raw exported.raw");
    assert_true(counter_in_file(image) > 0); /* and it is not both times nothing */
    must("vmmctl snapshot create web b -q"); /* the VM goes on in yet another file */
    must("qemu-img convert -O raw " NBD " again.raw && cmp again.raw exported.raw");
    end_server();
    expect_files(3);
}

static void nothing_can_be_written(void **state)
{
    serve("a");
    assert_int_not_equal(rig_shell(&rig, "qemu-io -f raw -c 'write -P 7 0 512' " NBD, &out), 0);
    must("qemu-io -r -f raw -c 'read 0 512' " NBD);
    end_server();
    expect_files(2);
}

static void a_snapshot_that_is_deleted_meanwhile_is_served_on(void **state)
{
    CLEANUP(closep) int client = -1;
    char greeting[18];

    serve("a");
    client = connect_here();
    assert_int_equal(recv(client, greeting, sizeof greeting, MSG_WAITALL), sizeof greeting);
    assert_memory_equal(greeting, "NBDMAGICIHAVEOPT", 16);
    must("vmmctl snapshot delete web a -y -q");
    assert_int_equal(recv(client, greeting, 1, MSG_DONTWAIT), -1); /* neither ended nor said more */
    end_server();
    assert_int_equal(read_to_end(client), 0);
    expect_files(2); /* the VM's own still lies on what was lent */
}

static void what_is_no_nbd_ends_the_connection_and_nothing_else(void **state)
{
    char rubbish[65536];

    serve("a");
    for (unsigned seed = 0; seed < 3; seed++) {
        CLEANUP(closep) int client = connect_here();
        for (size_t i = 0; i < sizeof rubbish; i++)
            rubbish[i] = (char)(i * 31 + seed * 17 + i / 256);
        (void)send(client, rubbish, sizeof rubbish, MSG_NOSIGNAL);
        assert_true(read_to_end(client) >= 18);
    }
    must("qemu-img info " NBD);
    end_server();
    expect_files(2);
}

/* ---- how much differs ---- */

/* Writes into what the disk of a VM that is off writes to. */
static void write_to(unsigned disk, const char *commands)
{
    struct chain chain;
    CLEANUP(mem_freep) char *line = NULL;

    assert_true(chain_of_disk(&rig, "plain", disk, &chain));
    line = str_format("qemu-io -f %s %s %s", chain.files[0].is_qcow2 ? "qcow2" : "raw", commands,
                      chain.files[0].path);
    must(line);
}

/* Clusters of 64 KiB; '*at_most' is the bound. */
static uint64_t clusters(const char *from, const char *to, uint64_t *at_most)
{
    CLEANUP(mem_freep)
    char *line = str_format("vmmctl snapshot diff plain %s %s --exact -o json", from, to);
    CLEANUP(json_decrefp) json_t *list = NULL;
    uint64_t sum = 0;
    json_t *one;
    size_t i;

    must(line);
    list = json_loads(out, 0, NULL);
    assert_true(json_is_array(list));
    *at_most = 0;
    json_array_foreach (list, i, one) {
        sum += json_get_u64(one, "changed_bytes", 0);
        *at_most += json_get_u64(one, "at_most_bytes", 0);
    }
    assert_int_equal(sum % 65536, 0);
    return sum / 65536;
}

static void expect_clusters(const char *from, const char *to, uint64_t n)
{
    uint64_t at_most;

    assert_int_equal(clusters(from, to, &at_most), n);
    assert_true(at_most >= n * 65536);
    assert_int_equal(clusters(to, from, &at_most), n);
}

static void what_differs_is_counted_once(void **state)
{
    uint64_t at_most;

    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"plain\",\"accel\":\"tcg\",\"disks\":[{\"size_bytes\":16777728,"
                       "\"format\":\"raw\"}]}",
                       201));
    must("vmmctl snapshot create plain s0 -q");
    write_to(0, "-c 'write 0 64k' -c 'write 1M 64k'");
    must("vmmctl snapshot create plain s1 -q");
    write_to(0, "-c 'write 1M 64k' -c 'write 2M 64k' -c 'write 3M 4k'");
    must("vmmctl snapshot create plain s2 -q");
    must("vmmctl snapshot revert plain s0 -y -q");
    write_to(0, "-c 'write 0 4k' -c 'write 1M 64k' -c 'write 4M 4k' -c 'write -z 5M 64k'");
    must("vmmctl snapshot create plain s3 -q");
    must("vmmctl disk add plain 8M,format=raw -q");
    write_to(1, "-c 'write 7M 64k'");
    must("vmmctl snapshot create plain s4 -q");
    expect_clusters("s0", "s1", 2);
    expect_clusters("s1", "s2", 3);
    expect_clusters("s0", "s2", 4);
    expect_clusters("s2", "s3", 6); /* on two branches, two of them on both */
    expect_clusters("s3", "s4", 1); /* a disk that only one of them has */
    assert_int_equal(clusters("s1", "s1", &at_most), 0);
    assert_int_equal(at_most, 0);
    assert_int_not_equal(rig_shell(&rig, "vmmctl snapshot diff plain s1 --exact", &out), 0);
    must("vmmctl vm delete plain -y -q");
    expect_files(2);
}

static void a_daemon_that_dies_leaves_nothing_of_it(void **state)
{
    CLEANUP(closep) int client = -1;
    char greeting[18];

    serve("a");
    client = connect_here();
    assert_int_equal(recv(client, greeting, sizeof greeting, MSG_WAITALL), sizeof greeting);
    assert_int_equal(rig_files(&rig), 3);
    rig_kill(&rig, NULL);
    assert_int_equal(read_to_end(client), 0);
    rig_spawn(&rig);
    end_server();
    expect_files(2);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
}

static void a_daemon_that_ends_ends_it(void **state)
{
    CLEANUP(closep) int client = -1;
    char greeting[18];

    serve("a");
    client = connect_here();
    assert_int_equal(recv(client, greeting, sizeof greeting, MSG_WAITALL), sizeof greeting);
    rig_stop(&rig);
    assert_int_equal(read_to_end(client), 0);
    assert_int_equal(rig_files(&rig), 2);
    rig_spawn(&rig);
    end_server();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_read_is_the_snapshot_whatever_the_vm_writes),
        T(nothing_can_be_written),
        T(a_snapshot_that_is_deleted_meanwhile_is_served_on),
        T(what_is_no_nbd_ends_the_connection_and_nothing_else),
        T(what_differs_is_counted_once),
        T(a_daemon_that_dies_leaves_nothing_of_it),
        T(a_daemon_that_ends_ends_it),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/serve: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/serve", tests, NULL, NULL);
}
