/* A host made of files: see fake_root.h. */
#include "tests/lib/harness.h"

#include "tests/lib/fake_root.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root;

static void write_file(const char *dir, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s/%s", root, dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_dir(const char *dir)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", root, dir);
    struct err err = {0};

    if (!fs_mkdirs(path, 0755, &err))
        fail_msg("%s: %s", path, err.detail);
}

static void make_link(const char *dir, const char *name, const char *target)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s/%s", root, dir, name);

    assert_return_code(symlink(target, path), 0);
}

/* The lines up to ">>" as the file's content; '*rest' moves behind them. */
static void take_block(const char *dir, const char *name, char **rest)
{
    struct strbuf b = {0};
    char *line;

    while ((line = strsep(rest, "\n")) && !str_eq(line, ">>"))
        strbuf_addf(&b, "%s\n", line);
    write_file(dir, name, b.data ? b.data : "");
    strbuf_clear(&b);
}

void fake_root_add(const char *text)
{
    CLEANUP(mem_freep) char *copy = str_dup(text);
    char *rest = copy, *line, *mark;
    char dir[256] = "";

    while ((line = strsep(&rest, "\n"))) {
        if (!*line || *line == '#')
            continue;
        if (*line == '[') {
            str_copy(dir, sizeof dir, line + 1);
            dir[strcspn(dir, "]")] = 0;
            make_dir(dir);
        } else if ((mark = strstr(line, " <<"))) {
            *mark = 0;
            take_block(dir, line, &rest);
        } else if ((mark = strstr(line, " -> "))) {
            *mark = 0;
            make_link(dir, line, mark + 4);
        } else if ((mark = strstr(line, " ="))) {
            *mark = 0;
            CLEANUP(mem_freep) char *value = str_format("%s\n", mark + 2 + (mark[2] == ' '));
            write_file(dir, line, value);
        } else {
            fail_msg("not understood: %s", line);
        }
    }
}

int fake_root_make(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("tests/fixtures/host/%s.root", name);
    CLEANUP(closep) int from = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};
    size_t len;
    int fd;

    /* In memory where that can be: a disk that flushes for others makes a hundred files slow. */
    root = str_dup("/dev/shm/vmmd-root-XXXXXX");
    if (!mkdtemp(root)) {
        mem_freep(&root);
        root = tmp_dir_make();
    }
    if (from < 0 || !fs_read_all(from, 1u << 20, &text, &len, &err))
        fail_msg("%s cannot be read", path);
    fake_root_add(text);
    fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

void fake_root_delete(const char *path)
{
    CLEANUP(closep) int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = {0};

    if (unlinkat(dir, path, 0) < 0 && !fs_remove_tree(dir, path, &err))
        fail_msg("%s: %s", path, err.detail);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    return remove(path);
}

void fake_root_remove(void)
{
    /* Without the flushes of fs_remove_tree(): there are a hundred directories. */
    assert_return_code(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    mem_freep(&root);
}
