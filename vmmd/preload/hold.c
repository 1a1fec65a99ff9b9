/* Requests of QEMU brought together: see hold.h. */
#include "vmmd/preload/hold.h"

int hold_end(struct hold *h, int fd, struct hold_range *out)
{
    int any = h->fd == fd && h->next > h->from;

    *out = (struct hold_range){h->from, h->next - h->from};
    h->from = h->next;
    return any;
}

static int hold_more(struct hold *h, uint64_t end, struct hold_range *out)
{
    uint64_t whole = end & ~(uint64_t)(HOLD_HUGE_PAGE - 1);

    h->next = end;
    if (whole <= h->from)
        return 0;
    *out = (struct hold_range){h->from, whole - h->from};
    h->from = whole;
    return 1;
}

int hold_take(struct hold *h, int fd, struct hold_range asked, struct hold_range out[2])
{
    uint64_t end = asked.start + asked.len;
    int n = 0;

    if (h->fd != fd || asked.start != h->next || h->is_waited) {
        n = hold_end(h, fd, out);
        h->fd = fd;
        h->from = asked.start;
    }
    if (!h->is_waited)
        return n + hold_more(h, end, &out[n]);
    out[n++] = asked;
    h->from = h->next = end;
    h->is_waited = 0;
    return n;
}
