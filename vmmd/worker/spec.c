/* Checking of WORKER_LAUNCH: see spec.h. Pure: no descriptor is touched here. */
#include "vmmd/worker/spec.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const roles[] = {"file", "qmp", "serial", "passt"};

static bool read_words(const json_t *array, const char *what, const char **out, unsigned most,
                       unsigned *n, struct err *err)
{
    size_t i;
    json_t *word;

    if (array && !json_is_array(array))
        return err_set(err, ERR_INVALID, "'%s' is no array", what);
    if (json_array_size(array) > most)
        return err_set(err, ERR_INVALID, "'%s' has more than %u words", what, most);
    json_array_foreach ((json_t *)array, i, word) {
        if (!json_is_string(word))
            return err_set(err, ERR_INVALID, "word %zu of '%s' is no text", i, what);
        out[(*n)++] = json_string_value(word);
    }
    return true;
}

static bool read_role(const json_t *entry, enum spec_role *out, struct err *err)
{
    const char *text = json_get_text(entry, "role");

    for (unsigned i = 0; i < ARRAY_LEN(roles); i++) {
        if (!str_eq(text, roles[i]))
            continue;
        *out = (enum spec_role)i;
        return true;
    }
    return err_set(err, ERR_INVALID, "a descriptor's role is not known");
}

/* A number in [least, most], or err. */
static bool read_number(const json_t *entry, const char *key, unsigned least, unsigned most,
                        unsigned *out, struct err *err)
{
    uint64_t value = json_get_u64(entry, key, UINT64_MAX);

    if (value < least || value > most)
        return err_set(err, ERR_INVALID, "'%s' of a descriptor is not %u to %u", key, least, most);
    *out = (unsigned)value;
    return true;
}

static bool read_place(const json_t *entry, struct spec_fd *fd, struct err *err)
{
    const char *input = json_get_text(entry, "input");
    unsigned target;

    if (input) {
        fd->target = JAIL_TARGET_INPUT;
        if (fd->role != SPEC_FILE || json_object_get(entry, "fd") || !*input ||
            strlen(input) >= sizeof fd->input ||
            strspn(input, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(input))
            return err_set(err, ERR_INVALID, "an input's name is not [a-z0-9_]{1,27}");
        str_copy(fd->input, sizeof fd->input, input);
        return true;
    }
    if (!read_number(entry, "fd", 3, JAIL_MAX_TARGET, &target, err))
        return false;
    fd->target = (int)target;
    return true;
}

static bool read_port(const json_t *entry, struct spec_fd *fd, struct err *err)
{
    return !json_object_get(entry, "port") ||
           (fd->role == SPEC_SERIAL
                ? read_number(entry, "port", 0, WORKER_SERIALS - 1, &fd->port, err)
                : err_set(err, ERR_INVALID, "a port on a descriptor that is no serial port"));
}

/* Marks descriptor 'index' of the frame as used. */
static bool use(bool *used, unsigned index, struct err *err)
{
    if (used[index])
        return err_set(err, ERR_INVALID, "descriptor %u of the frame is used twice", index);
    used[index] = true;
    return true;
}

static bool check_place(const struct spec *s, const struct spec_fd *fd, struct err *err)
{
    for (unsigned i = 0; i < s->n_fds; i++) {
        if (s->fds[i].target == fd->target && strcmp(s->fds[i].input, fd->input) == 0)
            return err_set(err, ERR_INVALID, "two descriptors for one place (%d%s)", fd->target,
                           fd->input);
        if (fd->role != SPEC_FILE && s->fds[i].role == fd->role && s->fds[i].port == fd->port)
            return err_set(err, ERR_INVALID, "two descriptors with the role %s", roles[fd->role]);
    }
    return true;
}

static bool read_fd(struct spec *s, const json_t *entry, unsigned n_attached, bool *used,
                    struct err *err)
{
    struct spec_fd fd = {0};

    if (!json_is_object(entry))
        return err_set(err, ERR_INVALID, "an entry of 'fds' is no object");
    if (!read_role(entry, &fd.role, err) || !read_place(entry, &fd, err) ||
        !read_port(entry, &fd, err) || !check_place(s, &fd, err))
        return false;
    if (fd.role == SPEC_FILE) {
        if (n_attached == 0)
            return err_set(err, ERR_INVALID, "a file, but no descriptor came");
        if (!read_number(entry, "index", 0, n_attached - 1, &fd.index, err) ||
            !use(used, fd.index, err))
            return false;
    }
    if (fd.role == SPEC_SERIAL)
        s->has_serial[fd.port] = true;
    s->has_passt |= fd.role == SPEC_PASST;
    s->fds[s->n_fds++] = fd;
    return true;
}

static bool read_fds(struct spec *s, const json_t *array, unsigned n_attached, bool *used,
                     struct err *err)
{
    bool has_qmp = false;
    json_t *entry;
    size_t i;

    /* Three places are the jail's: QEMU's standard output and error, and the lock. */
    if (!json_is_array(array) || json_array_size(array) > ARRAY_LEN(s->fds) - 3)
        return err_set(err, ERR_INVALID, "'fds' is no array of at most %zu entries",
                       ARRAY_LEN(s->fds) - 3);
    json_array_foreach ((json_t *)array, i, entry) {
        if (!read_fd(s, entry, n_attached, used, err))
            return false;
        has_qmp |= s->fds[i].role == SPEC_QMP;
    }
    return has_qmp || err_set(err, ERR_INVALID, "no descriptor has the role qmp");
}

static bool read_log(const json_t *logs, const char *key, unsigned n_attached, bool *used, int *out,
                     struct err *err)
{
    unsigned index;

    *out = -1;
    if (!json_object_get(logs, key))
        return true;
    if (n_attached == 0)
        return err_set(err, ERR_INVALID, "a log, but no descriptor came");
    if (!read_number(logs, key, 0, n_attached - 1, &index, err) || !use(used, index, err))
        return false;
    *out = (int)index;
    return true;
}

static bool read_logs(struct spec *s, const json_t *logs, unsigned n_attached, bool *used,
                      struct err *err)
{
    static const char *const names[WORKER_SERIALS] = {"serial", "serial1", "serial2", "serial3"};

    for (unsigned i = 0; i < WORKER_SERIALS; i++)
        if (!read_log(logs, names[i], n_attached, used, &s->serial_logs[i], err))
            return false;
    return read_log(logs, "qemu", n_attached, used, &s->qemu_log, err) &&
           read_log(logs, "commit", n_attached, used, &s->commit_log, err);
}

static bool read_file_max(struct spec *s, struct err *err)
{
    const json_t *most = json_object_get(s->root, "file_max_bytes");

    s->file_max_bytes = most ? json_get_u64(s->root, "file_max_bytes", 0) : 0;
    return !most || s->file_max_bytes || err_set(err, ERR_INVALID, "'file_max_bytes' is no size");
}

static bool read_all(struct spec *s, unsigned n_attached, struct err *err)
{
    const json_t *logs = json_object_get(s->root, "logs");
    bool used[FRAME_MAX_FDS] = {false};

    if (!json_is_object(s->root))
        return err_set(err, ERR_INVALID, "the request is no object");
    if (!read_words(json_object_get(s->root, "argv"), "argv", s->argv, JAIL_MAX_ARGS, &s->n_args,
                    err) ||
        !read_words(json_object_get(s->root, "passt"), "passt", s->passt, PASST_MAX_OPTIONS,
                    &s->n_passt, err) ||
        !read_fds(s, json_object_get(s->root, "fds"), n_attached, used, err) ||
        !read_logs(s, logs, n_attached, used, err) || !read_file_max(s, err))
        return false;
    if (s->n_args == 0 || s->argv[0][0] != '/')
        return err_set(err, ERR_INVALID, "'argv' does not begin with an absolute path");
    for (unsigned i = 0; i < n_attached; i++)
        if (!used[i])
            return err_set(err, ERR_INVALID, "descriptor %u of the frame has no use", i);
    return true;
}

struct spec *spec_read(const char *text, size_t len, unsigned n_attached, struct err *err)
{
    CLEANUP(spec_freep) struct spec *s = mem_alloc(sizeof *s);

    s->root = json_read(text, len, err);
    if (!s->root || !read_all(s, n_attached, err))
        return NULL;
    return TAKE(s);
}

void spec_freep(struct spec **spec)
{
    if (!*spec)
        return;
    json_decref((*spec)->root);
    free(*spec);
    *spec = NULL;
}
