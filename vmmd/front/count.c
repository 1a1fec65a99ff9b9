/* Connection counts: see count.h. A packed table with one entry for each address that is connected
 * now. */
#include "vmmd/front/count.h"

#include "core/base/mem.h"
#include "core/base/thread.h"

#include <netinet/in.h>
#include <string.h>

struct entry {
    struct count_key key;
    uint32_t n;
};

static struct lock lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct entry *table GUARDED_BY(lock); /* 'used' entries, room for 'most' */
static uint32_t used GUARDED_BY(lock);
static uint32_t total GUARDED_BY(lock);
static uint32_t most GUARDED_BY(lock);
static uint32_t most_each GUARDED_BY(lock);
static uint32_t refused_full GUARDED_BY(lock);
static uint32_t refused_address GUARDED_BY(lock);

struct count_key count_key(const struct sockaddr_storage *peer)
{
    struct count_key key = {{0}};
    const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

    if (peer->ss_family == AF_INET) {
        key.b[10] = key.b[11] = 0xff;
        memcpy(key.b + 12, &in->sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(key.b, &in6->sin6_addr, 16);
    } else {
        memcpy(key.b, &in6->sin6_addr, 8);
    }
    return key;
}

void count_init(uint32_t most_, uint32_t most_each_)
{
    lock_take(&lock);
    table = mem_resize(table, most_, sizeof *table);
    used = 0;
    total = 0;
    most = most_;
    most_each = most_each_;
    lock_drop(&lock);
}

static struct entry *find(const struct count_key *key) REQUIRES(lock)
{
    for (uint32_t i = 0; i < used; i++)
        if (memcmp(&table[i].key, key, sizeof *key) == 0)
            return &table[i];
    return NULL;
}

static bool enter(const struct count_key *key) REQUIRES(lock)
{
    struct entry *e = find(key);

    if (total >= most) {
        refused_full++;
        return false;
    }
    if (e && e->n >= most_each) {
        refused_address++;
        return false;
    }
    if (!e) {
        e = &table[used++];
        *e = (struct entry){.key = *key};
    }
    e->n++;
    total++;
    return true;
}

bool count_enter(const struct count_key *key)
{
    bool ok;

    lock_take(&lock);
    ok = enter(key);
    lock_drop(&lock);
    return ok;
}

void count_leave(const struct count_key *key)
{
    struct entry *e;

    lock_take(&lock);
    e = find(key);
    if (e) {
        total--;
        if (--e->n == 0)
            *e = table[--used];
    }
    lock_drop(&lock);
}

uint32_t count_total(void)
{
    uint32_t n;

    lock_take(&lock);
    n = total;
    lock_drop(&lock);
    return n;
}

void count_refused(uint32_t *full, uint32_t *address)
{
    lock_take(&lock);
    *full = refused_full;
    *address = refused_address;
    lock_drop(&lock);
}
