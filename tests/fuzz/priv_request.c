/* Fuzz: a vmmd-main that was taken over says what it likes to the helper, in any order, with or
 * without a descriptor. Whatever comes back is one of the few files that the configuration names,
 * opened as documented; no process is touched, no descriptor stays behind, nothing is allocated;
 * what main never sends ends the helper. The one part that is not real here is the start of a
 * worker's processes. */
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/priv/helper.h"
#include "vmmd/priv/proto.h"
#include "vmmd/priv/spawn.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS         50
#define COUNT_FDS_PER 1024 /* runs */
#define ODD_MOST      96   /* bytes: more than a request has */

static struct config config = {.uid_count = 16 + 3 * SLOTS, .n_roots = 1, .n_boots = 1};
static struct host host = {
    .config = &config, .cgroup = -1, .link = {-1, -1}, .limits = {.v1 = {-1, -1, -1, -1}}};
static struct stat allowed[4]; /* pool root, kernel, /dev/kvm, /dev/userfaultfd */
static unsigned n_allowed, descriptors, runs;

/* Of the sanitizer's library: called at every allocation and release. */
int __sanitizer_install_malloc_and_free_hooks(void (*made)(const volatile void *, size_t),
                                              void (*freed)(const volatile void *));
static bool serving; /* the helper is: it uses no heap */

static void must(bool what)
{
    if (!what)
        abort();
}

static void on_allocation(const volatile void *at, size_t size)
{
    must(!serving);
}

static void on_release(const volatile void *at)
{
}

/* ---- in place of vmmd/priv/spawn.c ---- */

int spawn_worker(const struct host *h, const struct priv_request *req, struct err *err)
{
    struct err why = {0};

    must(h == &host && !uuid_is_zero(&req->vm) && req->index < config_slots(&config));
    must(limits_check(&req->limits, &why));
    err_set(err, ERR_BUSY, "none are started here");
    return -1;
}

bool spawn_userns_works(const struct host *h, struct err *err)
{
    return true;
}

/* ... and of core/base/log.c: every second input would be a line. */
void log_write(enum log_level level, const char *format, ...)
{
}

/* ---- the host that the helper has ---- */

static void allow(const char *path)
{
    if (stat(path, &allowed[n_allowed]) == 0)
        n_allowed++;
}

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    must(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char target[8] = "";
        ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        n += len < 5 || strncmp(target, "pipe:", 5) != 0; /* the symbolizer's come late */
    }
    closedir(dir);
    return n;
}

static char dir[] = "/tmp/vmmd-fuzz-priv-XXXXXX", root[64], kernel[64];

static void remove_host(void)
{
    (void)unlink(kernel);
    (void)rmdir(root);
    (void)rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    must(mkdtemp(dir));
    snprintf(root, sizeof root, "%s/pool", dir);
    snprintf(kernel, sizeof kernel, "%s/kernel", dir);
    must(mkdir(root, 0700) == 0);
    close(open(kernel, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    config.roots[0].path = root;
    str_copy(config.roots[0].id, sizeof config.roots[0].id, "main");
    config.boots[0].kernel = kernel;
    str_copy(config.boots[0].id, sizeof config.boots[0].id, "tiny");
    config.uid = geteuid();
    host.roots[0] = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    host.vm_dir = host.roots[0]; /* no VM has ever run */
    must(host.roots[0] >= 0);
    allow(root);
    allow(kernel);
    allow("/dev/kvm");
    allow("/dev/userfaultfd");
    must(__sanitizer_install_malloc_and_free_hooks(on_allocation, on_release));
    (void)atexit(remove_host);
    return 0;
}

/* ---- what must hold ---- */

static void check_descriptor(uint32_t op, int fd)
{
    bool known = false;
    struct stat st;

    must(op == PRIV_ROOT_OPEN || op == PRIV_BOOT_OPEN || op == PRIV_KVM_OPEN ||
         op == PRIV_UFFD_OPEN);
    must(fstat(fd, &st) == 0);
    for (unsigned i = 0; i < n_allowed; i++)
        known |= st.st_dev == allowed[i].st_dev && st.st_ino == allowed[i].st_ino;
    must(known);
    if (op == PRIV_ROOT_OPEN || op == PRIV_BOOT_OPEN)
        must((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
}

static void check_reply(int sock, const struct priv_request *sent)
{
    struct priv_reply reply;
    struct err err = {0};
    CLEANUP(closep) int fd = -1;

    must(sock_recv(sock, &reply, sizeof reply, &fd, 1, NULL, &err) == sizeof reply);
    must(reply.op == sent->op && reply.serial == sent->serial);
    must(reply.count <= PRIV_LEAVES && memchr(reply.detail, 0, sizeof reply.detail));
    must(reply.error == 0 || (fd < 0 && reply.detail[0]));
    if (fd >= 0)
        check_descriptor(reply.op, fd);
}

/* One message; false when the helper has left. */
static bool say(struct helper *helper, const int pair[2], const uint8_t *data, size_t len,
                bool with_fd)
{
    struct priv_request request = {0};
    struct err err = {0};
    enum helper_result result;

    memcpy(&request, data, len < sizeof request ? len : sizeof request);
    must(sock_send(pair[0], data, len, &host.roots[0], with_fd, &err));
    serving = true;
    result = helper_serve(helper, pair[1]);
    serving = false;
    if (result == HELPER_BROKEN || result == HELPER_CLOSED)
        return false;
    must(!with_fd && len == sizeof request && request.version == PRIV_VERSION);
    check_reply(pair[0], &request);
    return true;
}

/* Each message begins with a byte: bit 0 brings a descriptor along, the rest makes it shorter or
 * longer than it should be, once in a while. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct helper helper = {.host = &host};
    struct err err = {0};
    int pair[2];
    bool goes_on = true;

    must(sock_pair(SOCK_SEQPACKET, pair, &err));
    while (goes_on && size > 1) {
        size_t len = sizeof(struct priv_request), most = size - 1;
        bool odd = data[0] >> 4 == 0xf;

        if (odd || len > most)
            len = most < ODD_MOST ? most : ODD_MOST;
        goes_on = say(&helper, pair, data + 1, len, data[0] == 0x0f);
        data += 1 + len;
        size -= 1 + len;
    }
    close(pair[0]);
    close(pair[1]);
    if (runs++ % COUNT_FDS_PER == 0) {
        unsigned now = count_descriptors();
        must(!descriptors || now == descriptors);
        descriptors = now;
    }
    return 0;
}
