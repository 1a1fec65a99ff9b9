/* One HTTP request to an address that a client of ours named: webhooks. Implemented by net/post
 * (libcurl), which decides which addresses may be reached at all. */
#pragma once
#include "core/base/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct post {
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL */
    const char *body;
    size_t len;
    int64_t limit_ms; /* for everything, from the name's look-up on */
};

struct post_result {
    unsigned status; /* of the reply, 0: there was none */
    int64_t took_ms;
    int64_t retry_after_s; /* as the reply asks, 0: it does not */
    char error[200];       /* one sentence, without the address's path; "" after a 2xx */
};

/* True when a 2xx came back. Redirections are not followed, of the reply only the head is looked
 * at. Blocks up to 'limit_ms', and ends within 0.2 s when '*stop' becomes true. */
bool post_send(const struct post *post, const atomic_bool *stop, struct post_result *out);
/* INVALID with the field "/url": not an http or https address, or with a user or fragment in it. */
bool post_url_check(const char *url, struct err *err) MUST_USE;
