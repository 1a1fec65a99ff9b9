/* See rig_shell.h. */
#include "tests/lib/rig_shell.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

int rig_shell(struct rig *r, const char *line, char **out)
{
    CLEANUP(mem_freep)
    char *command = str_format("cd %s && (%s) 2>&1 </dev/null", r->dir, line);
    FILE *pipe = popen(command, "re");
    struct strbuf b = {0};
    char piece[4096];
    size_t n;
    int status;

    assert_non_null(pipe);
    while ((n = fread(piece, 1, sizeof piece, pipe)))
        strbuf_add(&b, piece, n);
    status = pclose(pipe);
    free(*out);
    *out = strbuf_take(&b);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

size_t rig_matches(struct rig *r, const char *pattern)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", r->dir, pattern);
    glob_t found;
    size_t n = 0;

    if (glob(path, GLOB_NOSORT, NULL, &found) == 0)
        n = found.gl_pathc;
    globfree(&found);
    return n;
}

size_t rig_files(struct rig *r)
{
    return rig_matches(r, "main/*-*-*/*.*");
}
