/* A text in the user's own editor. */
#pragma once
#include "cli/fault.h"

struct editor {
    char *directory; /* of its own (0700), since editors leave backups beside the file */
    char *path;
};

/* 'name' is the file's: its suffix chooses the colours. FAILED. */
bool editor_open(const char *name, struct editor *out, struct fault *fault) MUST_USE;
/* Writes 'text', lets $VISUAL, $EDITOR or vi work on it and reads what came out, owned by the
 * caller. FAILED, also when the editor says so: then nothing is to be changed. */
bool editor_run(const struct editor *editor, const char *text, char **edited, size_t *len,
                struct fault *fault) MUST_USE;
/* Removes everything, or keeps it all for the user to go on with. */
void editor_close(struct editor *editor, bool keep);
