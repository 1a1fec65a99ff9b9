/* Checking of JAIL_RUN: see request.h. Pure: no descriptor is touched here. */
#include "vmmd/jail/request.h"

#include "backends/qemu/preload.h"

#include <string.h>

_Static_assert(PRELOAD_FD_UFFD == JAIL_MAX_TARGET - 1 && PRELOAD_FD_MEMORY == JAIL_MAX_TARGET,
               "where no other descriptor is placed");

static bool is_input_name(const char name[28])
{
    size_t n = strnlen(name, 28);

    return n > 0 && n < 28 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool check_fd(const struct jail_run_fd *fd, struct err *err)
{
    if (fd->target == JAIL_TARGET_INPUT)
        return is_input_name(fd->input) ||
               err_set(err, ERR_INVALID, "an input file's name is not [a-z0-9_]{1,27}");
    if (fd->input[0])
        return err_set(err, ERR_INVALID, "an input name on a descriptor that is no input");
    if (fd->target == JAIL_TARGET_KEEP || (fd->target >= 1 && fd->target <= JAIL_MAX_TARGET))
        return true;
    return err_set(err, ERR_INVALID, "descriptor number %d is not allowed", fd->target);
}

static bool same_place(const struct jail_run_fd *a, const struct jail_run_fd *b)
{
    return a->target == b->target && strcmp(a->input, b->input) == 0;
}

static bool check_fds(const struct jail_request *r, struct err *err)
{
    for (unsigned i = 0; i < r->n_fds; i++) {
        if (!check_fd(&r->fds[i], err))
            return false;
        for (unsigned k = 0; k < i; k++)
            if (same_place(&r->fds[i], &r->fds[k]))
                return err_set(err, ERR_INVALID, "two descriptors for one place (%d%s)",
                               r->fds[i].target, r->fds[i].input);
    }
    return true;
}

/* Exactly n_args strings that fill the rest of the payload. */
static bool read_args(char *p, size_t left, struct jail_request *r, struct err *err)
{
    for (unsigned i = 0; i < r->n_args; i++) {
        char *nul = memchr(p, 0, left);
        if (!nul)
            return err_set(err, ERR_INVALID, "argument %u has no end", i);
        r->argv[i] = p;
        left -= (size_t)(nul + 1 - p);
        p = nul + 1;
    }
    r->argv[r->n_args] = NULL;
    if (left)
        return err_set(err, ERR_INVALID, "bytes are left over behind the arguments");
    return r->argv[0][0] == '/' || err_set(err, ERR_INVALID, "the program's path is not absolute");
}

bool jail_request_preloads(const struct jail_request *r)
{
    for (unsigned i = 0; i < r->n_fds; i++)
        if (r->fds[i].target >= PRELOAD_FD_UFFD)
            return true;
    return false;
}

bool jail_request_read(char *payload, size_t len, unsigned n_attached, struct jail_request *out,
                       struct err *err)
{
    struct jail_run head;
    size_t fds_size;

    if (len < sizeof head)
        return err_set(err, ERR_INVALID, "the request is too short");
    memcpy(&head, payload, sizeof head);
    if (head.version != JAIL_VERSION || head.pad != 0)
        return err_set(err, ERR_INVALID, "version %u of the request is not known", head.version);
    if (head.n_args == 0 || head.n_args > JAIL_MAX_ARGS)
        return err_set(err, ERR_INVALID, "%u arguments", head.n_args);
    if (head.n_fds != n_attached || head.n_fds > FRAME_MAX_FDS)
        return err_set(err, ERR_INVALID, "%u descriptors named, %u came", head.n_fds, n_attached);
    fds_size = head.n_fds * sizeof *out->fds;
    if (len - sizeof head < fds_size)
        return err_set(err, ERR_INVALID, "the request is too short for its descriptors");
    out->n_args = head.n_args;
    out->n_fds = head.n_fds;
    out->file_max_bytes = head.file_max_bytes;
    memcpy(out->fds, payload + sizeof head, fds_size);
    return check_fds(out, err) &&
           read_args(payload + sizeof head + fds_size, len - sizeof head - fds_size, out, err);
}
