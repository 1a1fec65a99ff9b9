/* Making the database anew: see recover.h. No core is opened, nothing is listened on. */
#include "vmmd/main/recover.h"

#include "backends/qemu/ended.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/store.h"
#include "core/rebuild/rebuild.h"
#include "vmmd/config/config.h"
#include "vmmd/filter/filter.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool recover_asked(int argc, char **argv, bool *apply, bool *doubtful)
{
    *apply = *doubtful = false;
    for (int i = 1; i < argc; i++) {
        *apply |= strcmp(argv[i], "--apply") == 0;
        *doubtful |= strcmp(argv[i], "--doubtful") == 0;
    }
    return argc > 1 && strcmp(argv[1], "--recover") == 0;
}

static void open_roots(const struct config *config, struct scan_root *roots)
{
    for (unsigned i = 0; i < config->n_roots; i++) {
        struct stat st;
        int fd = RECOVER_FD_ROOTS + (int)i;
        roots[i] = (struct scan_root){config->roots[i].id, -1};
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
            roots[i].dir = fd;
    }
}

/* A guest goes on without the daemon. What a new database knew nothing of would be ended at the
 * next start, and its disks are in use. */
static bool nobody_runs(const struct config *config, struct err *err)
{
    CLEANUP(mem_freep) char *path = str_format("%s/vm", config->run_dir);
    CLEANUP(strbuf_clear) struct strbuf alive = {0};
    DIR *list = opendir(path);
    struct uuid id;

    for (struct dirent *e; list && (e = readdir(list));) {
        struct err none = {0};
        CLEANUP(closep)
        int dir = uuid_parse(e->d_name, &id)
                      ? fs_open(dirfd(list), e->d_name, O_RDONLY | O_DIRECTORY, 0, &none)
                      : -1;
        if (dir >= 0 && !ended_is_dead(dir))
            strbuf_addf(&alive, "%s%s", alive.len ? ", " : "", e->d_name);
    }
    if (list)
        closedir(list);
    return !alive.len ||
           err_set(err, ERR_WRONG_STATE,
                   "these VMs still run, without the daemon: %.300s. Shut them down from inside, "
                   "then try again",
                   alive.data);
}

static bool apply_scan(struct rebuild *r, const struct scan *scan, char kept[64], struct err *err)
{
    struct store *store = store_rebuild_open(r, rebuild_epoch(scan), err);

    return store && rebuild_fill(scan, store, err) && store_rebuild_commit(r, kept, err);
}

static void print(const struct scan *scan, const char *kept)
{
    CLEANUP(json_decrefp) json_t *report = scan_report(scan, kept);
    CLEANUP(mem_freep) char *text = json_write(report);

    puts(text);
}

static bool recover(const struct config *config, struct rebuild *r, bool apply, bool doubtful,
                    struct err *err)
{
    struct scan_root roots[CONFIG_MAX_ROOTS];
    const struct scan_ask ask = {.state = store_rebuild_dir(r),
                                 .roots = roots,
                                 .n_roots = config->n_roots,
                                 .doubtful = doubtful};
    CLEANUP(scan_freep) struct scan *scan = NULL;
    char kept[64];

    if (apply && !nobody_runs(config, err))
        return false;
    open_roots(config, roots);
    scan = scan_new(&ask);
    if (apply && !scan->has_host && !scan->vms)
        return err_set(err, ERR_NOT_FOUND, "there is no copy of anything: nothing is made");
    if (apply && !apply_scan(r, scan, kept, err))
        return false;
    print(scan, apply ? kept : NULL);
    return true;
}

int recover_main(bool apply, bool doubtful)
{
    CLEANUP(config_freep) struct config *config = NULL;
    struct err err = {0};
    struct rebuild *r;
    bool ok;

    if (filter_refuse_power(&err))
        config = config_read(RECOVER_FD_CONFIG, &err);
    r = config ? store_rebuild_begin(config->state_dir, &err) : NULL;
    ok = r && recover(config, r, apply, doubtful, &err);
    store_rebuild_end(r);
    if (ok && fflush(stdout) == 0)
        return EXIT_SUCCESS;
    log_error("recovery: %s", err.detail);
    return err.code == ERR_BUSY ? EXIT_TAKEN : EXIT_INTERNAL;
}
