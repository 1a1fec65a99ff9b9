/* Fuzz: where a webhook is to be sent, and what an administrator allows. No text makes the guard
 * let this host or a link-local address through that was not allowed. */
#include "core/base/cidr.h"
#include "core/base/mem.h"
#include "core/port/post.h"
#include "net/post/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(mem_freep) char *text = mem_alloc(size + 1);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct err err = {0};
    struct cidr range;
    uint8_t address[16];

    memcpy(text, data, size);
    text[size] = 0;
    (void)cidr_parse(text, &range);
    if (!post_url_check(text, &err) && !err.detail[0])
        abort();
    if (!guard_init(NULL, NULL, &err))
        abort();
    if (size < 16)
        return 0;
    memcpy(&in6.sin6_addr, data, 16);
    if (cidr_address((struct sockaddr *)&in6, address) && address[10] == 0xff &&
        address[12] == 127 && !memcmp(address, (uint8_t[10]){0}, 10) && address[11] == 0xff &&
        !guard_refuses(text, (struct sockaddr *)&in6))
        abort();
    return 0;
}
