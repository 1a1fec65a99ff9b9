/* The user's editor: see editor.h. */
#include "cli/editor.h"

#include "cli/interrupt.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define MAX_EDITED (1u << 20)

static const char *temporary(void)
{
    const char *base = getenv("TMPDIR");

    return base && *base ? base : "/tmp";
}

bool editor_open(const char *name, struct editor *out, struct fault *fault)
{
    *out = (struct editor){.directory = str_format("%s/vmmctl-XXXXXX", temporary())};
    if (!mkdtemp(out->directory)) {
        fault_set(fault, CLI_FAILED, "%s: %s", out->directory, strerror(errno));
        mem_freep(&out->directory);
        return false;
    }
    out->path = str_format("%s/%s", out->directory, name);
    return true;
}

/* By the shell, since the variables may hold arguments. */
static bool call_editor(const char *file, struct fault *fault)
{
    const char *editor = getenv("VISUAL");
    char *argv[] = {"sh", "-c", NULL, "sh", (char *)file, NULL};
    CLEANUP(mem_freep) char *line = NULL;
    pid_t pid;
    int status, failed;

    if (!editor || !*editor)
        editor = getenv("EDITOR");
    if (!editor || !*editor)
        editor = "vi";
    line = argv[2] = str_format("exec %s \"$1\"", editor);
    failed = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ);
    if (failed)
        return fault_set(fault, CLI_FAILED, "the editor: %s", strerror(failed));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fault_set(fault, CLI_FAILED, "the editor: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return fault_set(fault, CLI_FAILED, "the editor '%.60s' failed; nothing was changed",
                         editor);
    interrupt_clear(); /* a Ctrl-C in the editor was the editor's */
    return true;
}

bool editor_run(const struct editor *editor, const char *text, char **edited, size_t *len,
                struct fault *fault)
{
    CLEANUP(closep)
    int fd = open(editor->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    CLEANUP(closep) int again = -1;
    struct err err;

    if (fd < 0)
        return fault_set(fault, CLI_FAILED, "%s: %s", editor->path, strerror(errno));
    if (!fs_write_all(fd, text, strlen(text), &err))
        return fault_err(fault, CLI_FAILED, &err);
    if (!call_editor(editor->path, fault))
        return false;
    /* opened anew: many editors replace the file */
    again = open(editor->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (again < 0)
        return fault_set(fault, CLI_FAILED, "the edited file: %s", strerror(errno));
    return fs_read_all(again, MAX_EDITED, edited, len, &err) || fault_err(fault, CLI_FAILED, &err);
}

void editor_close(struct editor *editor, bool keep)
{
    const char *name = editor->directory ? strrchr(editor->directory, '/') + 1 : NULL;
    CLEANUP(closep)
    int parent = name && !keep ? open(temporary(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct err err = {0};

    err_ignore(parent >= 0 && fs_remove_tree(parent, name, &err), &err);
    mem_freep(&editor->directory);
    mem_freep(&editor->path);
}
