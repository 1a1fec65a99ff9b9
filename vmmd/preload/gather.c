/* Pages brought together: see gather.h. */
#include "vmmd/preload/gather.h"

#include <stdint.h>
#include <string.h>

enum { PAGE = 4096, HEAD = 8, NAME = 256 };
enum { IS_ZERO = 0x02, IS_PAGE = 0x08, GOES_ON = 0x20, WORDS = PAGE - 1 };

static size_t length_of(const struct iovec *iov, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += iov[i].iov_len;
    return len;
}

bool gather_is_page(const struct iovec *iov, size_t n)
{
    size_t len = length_of(iov, n), rest;
    const uint8_t *head = n ? iov[0].iov_base : NULL;
    unsigned words;

    if (n == 0 || iov[0].iov_len < HEAD)
        return false;
    words = (head[HEAD - 2] << 8 | head[HEAD - 1]) & WORDS & ~(unsigned)GOES_ON;
    if (words != IS_ZERO && words != IS_PAGE)
        return false;
    rest = words == IS_PAGE ? PAGE : 1;
    return len >= HEAD + rest && len <= HEAD + NAME + rest;
}

bool gather_add(struct gather *g, const struct iovec *iov, size_t n)
{
    if (length_of(iov, n) > sizeof g->data - g->len)
        return false;
    for (size_t i = 0; i < n; i++) {
        memcpy(g->data + g->len, iov[i].iov_base, iov[i].iov_len);
        g->len += iov[i].iov_len;
    }
    return true;
}
