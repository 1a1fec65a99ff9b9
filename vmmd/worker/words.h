/* What QEMU (and passt) print to standard error: kept in the VM's QEMU log, and the last lines in
 * memory for error messages. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_TAIL    2048
#define WORDS_MAX_LOG (1u << 20) /* bytes of the log file */

struct worker;

struct words {
    int pipe; /* read end, -1: none */
    int log;  /* -1: none */
    uint64_t logged;
    char tail[WORDS_TAIL]; /* the last bytes, oldest first */
    size_t len;
};

/* Takes both over. A log that has grown large is begun anew. */
void words_open(struct worker *w, int pipe, int log);
void words_ready(struct worker *w);
/* Reads what is left in the pipe and closes. */
void words_close(struct worker *w);
/* The tail as printable text without empty ends; 'out' has WORDS_TAIL + 1 bytes. */
void words_text(const struct worker *w, char *out);
