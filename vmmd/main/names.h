/* The names that this host is asked by: of the certificate, of the configuration, its own. Called
 * once, at start. */
#pragma once
#include <stddef.h>
#include <sys/socket.h>

/* 'cert': PEM, its offset is left alone. 'more': names separated by blanks, or NULL. What cannot be
 * read gives no names and a line in the log. The list ends with NULL; names_free(). */
const char *const *names_collect(int cert, const char *more, size_t *n);
/* The page's address as people type it: what we listen on, or the host's own name if that is
 * everything. 'text' is the same with its port. Owned by the caller. */
char *names_page(const struct sockaddr *listen, const char *text);
void names_free(const char *const *names); /* NULL is fine */
