/* vmmd-split beside a real QEMU, which runs outside the jail here: what it makes of that one's
 * stream is an image that another QEMU goes on from, with not one character more or less; and what
 * becomes of both when one fails. Needs root, qemu-system-x86_64, and userfaultfd for background
 * snapshots. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "tests/lib/memory_guest.h"
#include "vmmd/split/proto.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAM     (16u << 20)
#define WAIT_MS 60000
#define CORPUS  "tests/fuzz/corpus/split_stream"

static char *dir;

static int set_up(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    tmp_dir_remove(dir);
    return 0;
}

/* A child with 'fds' as its descriptors from 3 on, that ends with this program. */
static pid_t start(char *const argv[], const int *fds, int n)
{
    pid_t child = fork();

    if (child == 0) {
        int high[8];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < n; i++)
            high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 40);
        for (int i = 0; i < n; i++)
            dup2(high[i], 3 + i);
        execvp(argv[0], argv);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

/* ---- the splitter ---- */

struct splitter {
    pid_t pid;
    int stream; /* the other end of it; -1: given away */
    int again;  /* a duplicate of its own end */
    int report;
};

static void splitter_start(struct splitter *s, const char *ram_bytes, int image)
{
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-split", getenv("VMMD_BIN"));
    int pair[2], report[2];

    assert_true(sock_pair(SOCK_STREAM, pair, &(struct err){0}));
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    s->pid = start((char *[]){program, (char *)(uintptr_t)ram_bytes, NULL},
                   (int[]){pair[0], image, report[1]}, 3);
    close(report[1]);
    s->again = pair[0];
    s->stream = pair[1];
    s->report = report[0];
}

static struct split_report splitter_wait(struct splitter *s)
{
    struct split_report report = {0};
    int status;

    closep(&s->stream);
    assert_int_equal(read(s->report, &report, sizeof report), sizeof report);
    close(s->report);
    close(s->again);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(report.version, 1);
    return report;
}

static int new_image(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/image", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* Sends 'len' bytes of a stream of the corpus, 0: all of it. The splitter may hang up. */
static void send_stream(struct splitter *s, const char *name, size_t len)
{
    CLEANUP(mem_freep) char *path = str_format("%s/" CORPUS "/%s", getenv("VMMD_SRC"), name);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *data = NULL;
    size_t size;

    assert_true(fs_read_all(fd, 1 << 20, &data, &size, &(struct err){0}));
    (void)!send(s->stream, data, len ? len : size, MSG_NOSIGNAL);
}

static void a_stream_becomes_an_image(void **state)
{
    CLEANUP(closep) int image = new_image();
    struct split_report report;
    struct memory_trailer trailer;
    struct splitter s;
    struct stat st;

    splitter_start(&s, "1048576", image);
    send_stream(&s, "background", 0);
    report = splitter_wait(&s);
    if (report.outcome != SPLIT_DONE)
        fail_msg("%s", report.detail);
    assert_string_equal(report.detail, "");
    assert_int_equal(fstat(image, &st), 0);
    assert_int_equal(pread(image, &trailer, sizeof trailer, st.st_size - 64), 64);
    assert_memory_equal(trailer.magic, MEMORY_MAGIC, sizeof trailer.magic);
    assert_int_equal(trailer.ram_bytes, 1 << 20);
    assert_int_equal(report.ram_bytes, 1 << 20);
    assert_int_equal(report.held_bytes, trailer.held_bytes);
    assert_int_equal(report.state_bytes, trailer.state_bytes);
}

static void how_it_ended_is_told_apart(void **state)
{
    static const struct {
        const char *ram_bytes;
        size_t len;
        enum split_outcome outcome;
        const char *detail;
    } ends[] = {
        {"1048576", 1, SPLIT_CUT_SHORT, "QEMU's stream ended before its end, after 0 bytes"},
        {"1048576", 40000, SPLIT_CUT_SHORT,
         "QEMU's stream ended before its end, after 40000 bytes"},
        {"2097152", 0, SPLIT_MALFORMED, "the guest's memory has 1048576 bytes in place of 2097152"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        CLEANUP(closep) int image = new_image();
        struct split_report report;
        struct splitter s;
        splitter_start(&s, ends[i].ram_bytes, image);
        send_stream(&s, "background", ends[i].len);
        report = splitter_wait(&s);
        assert_int_equal(report.outcome, ends[i].outcome);
        if (!str_starts(report.detail, ends[i].detail))
            fail_msg("'%s'", report.detail);
    }
}

/* A file in a file system of its own, of 'bytes' bytes, that is gone when it is closed. */
static int file_of_little_room(const char *bytes)
{
    CLEANUP(closep) int config = fsopen("tmpfs", FSOPEN_CLOEXEC);
    CLEANUP(closep) int mounted = -1;
    int fd;

    assert_true(config >= 0);
    assert_int_equal(fsconfig(config, FSCONFIG_SET_STRING, "size", bytes, 0), 0);
    assert_int_equal(fsconfig(config, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    mounted = fsmount(config, FSMOUNT_CLOEXEC, 0);
    assert_true(mounted >= 0);
    fd = openat(mounted, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void a_full_disk_is_told_as_such(void **state)
{
    CLEANUP(closep) int image = file_of_little_room("16k");
    struct split_report report;
    struct splitter s;

    splitter_start(&s, "1048576", image);
    send_stream(&s, "precopy", 0);
    report = splitter_wait(&s);
    assert_int_equal(report.outcome, SPLIT_NO_SPACE);
    assert_string_equal(report.detail, "write the memory image: No space left on device");
}

static void a_disk_that_fails_is_told_apart_from_a_full_one(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/image", dir);
    CLEANUP(closep) int writable = new_image(), image = open(path, O_RDONLY | O_CLOEXEC);
    struct split_report report;
    struct splitter s;

    splitter_start(&s, "1048576", image);
    report = splitter_wait(&s);
    assert_int_equal(report.outcome, SPLIT_IO);
    assert_string_equal(report.detail, "give the memory image its size: Invalid argument");
}

/* ---- QEMU ---- */

struct guest {
    pid_t pid;
    int qmp;
    char *serial; /* path of the file that has what it said */
};

/* Everything up to the end of a line, which QEMU ends with \r\n. */
static json_t *read_line(const struct guest *g)
{
    struct strbuf line = {0};
    struct err err = {0};
    json_t *value;
    char c = 0;

    while (c != '\n') {
        if (recv(g->qmp, &c, 1, 0) != 1)
            fail_msg("QEMU has gone");
        strbuf_add(&line, &c, 1);
    }
    value = json_read(line.data, line.len, &err);
    if (!value)
        fail_msg("%s: %s", err.detail, line.data);
    strbuf_clear(&line);
    return value;
}

/* The answer to a command, with one descriptor if 'fd' is not -1; NULL when QEMU refused it. */
static json_t *qmp(const struct guest *g, int fd, const char *command, const char *arguments)
{
    CLEANUP(mem_freep)
    char *text = str_format("{\"execute\":\"%s\",\"arguments\":{%s}}\n", command, arguments);
    json_t *answer = NULL, *out = NULL;

    assert_true(sock_send(g->qmp, text, strlen(text), &fd, fd >= 0, &(struct err){0}));
    do {
        json_decref(answer);
        answer = read_line(g);
    } while (json_object_get(answer, "event"));
    out = json_incref(json_object_get(answer, "return"));
    json_decref(answer);
    return out;
}

static void must(const struct guest *g, int fd, const char *command, const char *arguments)
{
    json_t *answer = qmp(g, fd, command, arguments);

    if (!answer)
        fail_msg("QEMU refuses %s", command);
    json_decref(answer);
}

static void await_migration(const struct guest *g, const char *wanted)
{
    int64_t deadline = clock_mono_ms() + WAIT_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *answer = qmp(g, -1, "query-migrate", "");
        const char *status = json_get_text(answer, "status");
        if (str_eq(status, wanted))
            return;
        if (str_eq(status, "failed") || clock_mono_ms() > deadline)
            fail_msg("the migration is %s", status);
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

static void guest_start(struct guest *g, const char *name, const char *machine, const char *more)
{
    CLEANUP(mem_freep) char *serial = NULL;
    CLEANUP(mem_freep)
    char *line =
        str_format("exec qemu-system-x86_64 -nodefaults -display none -accel tcg -m 16M -S "
                   "-machine %s -drive if=floppy,format=raw,readonly=on,file=%s/boot "
                   "-serial file:%s/%s -chardev socket,id=m,fd=3 -mon chardev=m,mode=control "
                   "%s",
                   machine, dir, dir, name, more);
    struct timeval limit = {WAIT_MS / 1000, 0};
    int pair[2];

    assert_true(sock_pair(SOCK_STREAM, pair, &(struct err){0}));
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    g->pid = start((char *[]){"sh", "-c", line, NULL}, &pair[1], 1);
    close(pair[1]);
    g->qmp = pair[0];
    g->serial = str_format("%s/%s", dir, name);
    json_decref(read_line(g)); /* its greeting */
    must(g, -1, "qmp_capabilities", "");
}

static void guest_end(struct guest *g)
{
    kill(g->pid, SIGKILL);
    waitpid(g->pid, NULL, 0);
    close(g->qmp);
    mem_freep(&g->serial);
}

static char *said(const struct guest *g)
{
    CLEANUP(closep) int fd = open(g->serial, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    size_t len;

    assert_true(fs_read_all(fd, 1 << 20, &text, &len, &(struct err){0}));
    return text;
}

static size_t said_len(const struct guest *g)
{
    CLEANUP(mem_freep) char *text = said(g);

    return strlen(text);
}

/* Until it has said so much more than it had. */
static void await_words(const struct guest *g, size_t more_than)
{
    int64_t deadline = clock_mono_ms() + WAIT_MS;

    while (said_len(g) <= more_than + 60) {
        if (clock_mono_ms() > deadline)
            fail_msg("the guest stands still");
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

/* The boot sector for a floppy disk. */
static void put_boot(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/boot", dir);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, memory_guest, MEMORY_GUEST_SECTOR), MEMORY_GUEST_SECTOR);
    assert_int_equal(ftruncate(fd, 1440 << 10), 0);
}

/* False when this host has no userfaultfd. */
static bool prepare(const struct guest *g, bool background)
{
    json_t *answer;

    must(g, -1, "migrate-set-capabilities",
         "\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true}]");
    must(g, -1, "migrate-set-parameters", "\"max-bandwidth\":10737418240");
    if (!background)
        return true;
    answer = qmp(g, -1, "migrate-set-capabilities",
                 "\"capabilities\":[{\"capability\":\"background-snapshot\",\"state\":true}]");
    json_decref(answer);
    return answer != NULL;
}

static void migrate(const struct guest *g, struct splitter *s)
{
    must(g, s->stream, "getfd", "\"fdname\":\"m\"");
    closep(&s->stream);
    must(g, -1, "migrate", "\"uri\":\"fd:m\"");
}

/* A guest that goes on from the image, and is let go. */
static void guest_resume(struct guest *g, const char *machine, int image)
{
    CLEANUP(mem_freep)
    char *more = str_format("-incoming defer -object "
                            "memory-backend-file,id=pc.ram,size=16M,mem-path=%s/image,share=off",
                            dir);
    CLEANUP(mem_freep) char *named = str_format("%s,memory-backend=pc.ram", machine);

    guest_start(g, "after", named, more);
    assert_true(prepare(g, false));
    assert_int_equal(lseek(image, RAM, SEEK_SET), RAM);
    must(g, image, "getfd", "\"fdname\":\"m\"");
    must(g, -1, "migrate-incoming", "\"uri\":\"fd:m\"");
    await_migration(g, "completed");
    must(g, -1, "cont", "");
}

/* What one has said and the other went on with: one row of numbers. */
static void expect_one_row(const char *before, const char *after)
{
    CLEANUP(mem_freep) char *row = str_format("%s%s", before, after);
    const char *at = row;
    unsigned n = 0;

    for (; strlen(at) >= 10; at += 10) {
        CLEANUP(mem_freep) char *expected = str_format("+%08x\n", ++n);
        if (strncmp(at, expected, 10) != 0)
            fail_msg("number %u is '%.10s'; %zu characters were said before", n, at,
                     strlen(before));
    }
    assert_true(n >= 10);
}

static void goes_on(const char *machine, const char *way)
{
    bool background = str_eq(way, "background"), precopy = str_eq(way, "precopy");
    CLEANUP(closep) int image = new_image();
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    struct split_report report;
    struct guest g, resumed;
    struct splitter s;

    put_boot();
    guest_start(&g, "before", machine, "");
    if (!prepare(&g, background)) {
        guest_end(&g);
        skip();
    }
    must(&g, -1, "cont", "");
    await_words(&g, 0);
    splitter_start(&s, "16777216", image);
    if (!precopy) {
        must(&g, -1, "stop", "");
        before = said(&g);
    }
    migrate(&g, &s);
    report = splitter_wait(&s);
    if (report.outcome != SPLIT_DONE)
        fail_msg("%s", report.detail);
    await_migration(&g, "completed");
    if (precopy)
        before = said(&g);
    if (background)
        await_words(&g, strlen(before)); /* the original goes on as if nothing had been */
    guest_resume(&resumed, machine, image);
    await_words(&resumed, 0);
    after = said(&resumed);
    guest_end(&resumed);
    guest_end(&g);
    assert_true(report.held_bytes >= 64 * SPLIT_PAGE && report.held_bytes < RAM / 4);
    expect_one_row(before, after);
}

static void a_guest_goes_on_from_a_background_snapshot(void **state)
{
    goes_on("pc", "background");
}

static void a_guest_goes_on_from_precopy(void **state)
{
    goes_on("pc", "precopy");
}

static void a_guest_goes_on_that_stood_still(void **state)
{
    goes_on("pc", "still");
}

static void a_modern_machine_goes_on_as_well(void **state)
{
    goes_on("q35", "still");
}

/* Its memory goes to a splitter that takes nothing. */
static void stall(struct guest *g, struct splitter *s, int image, bool background)
{
    put_boot();
    guest_start(g, "before", "pc", "");
    if (!prepare(g, background)) {
        guest_end(g);
        skip();
    }
    must(g, -1, "cont", "");
    await_words(g, 0);
    splitter_start(s, "16777216", image);
    kill(s->pid, SIGSTOP);
    migrate(g, s);
    await_migration(g, "active"); /* and stays so: the socket takes less than the stream has */
}

static void splitter_kill(struct splitter *s)
{
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    close(s->report);
}

static void a_background_snapshot_is_given_up_by_dropping_the_rest(void **state)
{
    CLEANUP(mem_freep) char *program = str_format("%s/vmmd-split", getenv("VMMD_BIN"));
    CLEANUP(closep) int image = new_image();
    struct splitter s;
    struct guest g;
    int status;
    pid_t pid;

    stall(&g, &s, image, true);
    splitter_kill(&s);
    pid = start((char *[]){program, "0", NULL}, (int[]){s.again, image, image}, 3);
    close(s.again);
    await_migration(&g, "completed");
    await_words(&g, said_len(&g));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    guest_end(&g);
}

static void precopy_is_cancelled(bool dies)
{
    CLEANUP(closep) int image = new_image();
    struct splitter s;
    struct guest g;

    stall(&g, &s, image, false);
    if (dies) {
        close(s.again);
        splitter_kill(&s);
    }
    must(&g, -1, "migrate_cancel", "");
    if (!dies)
        await_migration(&g, "cancelled");
    await_words(&g, said_len(&g));
    guest_end(&g);
    if (!dies) {
        close(s.again);
        splitter_kill(&s);
    }
}

static void precopy_is_cancelled_beside_a_splitter_that_stalls(void **state)
{
    precopy_is_cancelled(false);
}

static void precopy_is_cancelled_when_its_splitter_is_dead(void **state)
{
    precopy_is_cancelled(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_stream_becomes_an_image),
        T(how_it_ended_is_told_apart),
        T(a_full_disk_is_told_as_such),
        T(a_disk_that_fails_is_told_apart_from_a_full_one),
        T(a_guest_goes_on_from_a_background_snapshot),
        T(a_guest_goes_on_from_precopy),
        T(a_guest_goes_on_that_stood_still),
        T(a_modern_machine_goes_on_as_well),
        T(a_background_snapshot_is_given_up_by_dropping_the_rest),
        T(precopy_is_cancelled_beside_a_splitter_that_stalls),
        T(precopy_is_cancelled_when_its_splitter_is_dead),
#undef T
    };

    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
