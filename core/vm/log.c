/* The last lines of a VM's logs, as text that can be shown anywhere: what QEMU said on its standard
 * error, and what the guest said on a serial port. For reading on and for following there is
 * vm_serial_read(), which gives the port's bytes as they are. */
#include "core/vm/vm.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/ringlog.h"
#include "core/base/str.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of a file of at most a few MiB; it may be written meanwhile. */
static ssize_t plain_tail(int fd, char *out, size_t cap, struct err *err)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0) {
        err_errno(err, errno, "QEMU's log");
        return -1;
    }
    n = pread(fd, out, cap, st.st_size > (off_t)cap ? st.st_size - (off_t)cap : 0);
    if (n < 0)
        err_errno(err, errno, "QEMU's log");
    return n;
}

static ssize_t ring_tail(int fd, char *out, size_t cap, struct err *err)
{
    uint64_t offset = UINT64_MAX, end = 0;

    if (ringlog_read(fd, &offset, out, 0, &end, err) < 0)
        return -1;
    offset = end > cap ? end - cap : 0;
    return ringlog_read(fd, &offset, out, cap, &end, err);
}

/* Where the last 'lines' begin; a line that is not ended counts as well. */
static size_t last_lines(const char *text, size_t len, unsigned lines)
{
    size_t at = len && text[len - 1] == '\n' ? len - 1 : len;

    while (at && (text[at - 1] != '\n' || --lines))
        at--;
    return at;
}

/* Bytes of the character at 'p' that can be shown as it is; 0: none. */
static size_t shown(const char *p, size_t left)
{
    char one[5] = "";

    if (*p == '\n' || *p == '\t')
        return 1;
    for (size_t n = 1; n <= 4 && n <= left; n++) {
        memcpy(one, p, n);
        if (str_is_utf8(one, n))
            return str_is_control(one) ? 0 : n;
    }
    return 0;
}

/* Neither a guest nor QEMU gets at the reader's terminal. */
static void write_shown(const char *text, size_t len, struct strbuf *out)
{
    for (size_t i = 0; i < len;) {
        size_t n = shown(text + i, len - i);

        if (n)
            strbuf_add(out, text + i, n);
        else if (text[i] != '\r')
            strbuf_addf(out, "\\x%02x", (unsigned char)text[i]);
        i += n ? n : 1;
    }
}

bool vm_log_tail(struct core *core, const char *ref, enum vm_log_source source, unsigned port,
                 unsigned lines, struct strbuf *out, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    const bool serial = source == VM_LOG_SERIAL;
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int dir = -1, fd = -1;
    struct err none = {0};
    ssize_t n;

    if (!hold.vm || (serial && !vm_has_port(core, hold.vm, port, err)))
        return false;
    dir = vm_dir_open(core, hold.vm, false, &none);
    if (dir >= 0)
        fd = fs_open(dir, serial ? vm_serial_log(port) : VM_QEMU_LOG, O_RDONLY, 0, &none);
    if (fd < 0 && none.code == ERR_NOT_FOUND)
        return true; /* it never ran */
    text = mem_alloc(VM_LOG_BYTES);
    n = fd < 0   ? -1
        : serial ? ring_tail(fd, text, VM_LOG_BYTES, &none)
                 : plain_tail(fd, text, VM_LOG_BYTES, &none);
    if (n < 0) {
        *err = none;
        return false;
    }
    size_t begin = last_lines(text, (size_t)n, lines);
    write_shown(text + begin, (size_t)n - begin, out);
    return true;
}
