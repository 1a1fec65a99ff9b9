/* Temporary directories for tests. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *tmp_dir_make(void)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *path = str_format("%s/vmmd-test-XXXXXX", base);

    if (!mkdtemp(path))
        fail_msg("mkdtemp %s", path);
    return path;
}

void tmp_dir_remove(char *path)
{
    struct err err = {0};
    char *slash = strrchr(path, '/');
    int dir;

    *slash = 0;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    if (!fs_remove_tree(dir, slash + 1, &err))
        fail_msg("%s", err.detail);
    close(dir);
    free(path);
}
