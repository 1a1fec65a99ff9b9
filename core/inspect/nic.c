/* The network interfaces of the host: see nic.h. */
#include "core/inspect/nic.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

#define NET             "sys/class/net"
#define ARPHRD_ETHER    1
#define ARPHRD_LOOPBACK 772

/* The kernel's DEVTYPE of an interface, "" for plain ones. */
static void devtype_of(int root, const char *nic, char out[64])
{
    CLEANUP(mem_freep) char *text = sys_whole(root, 4096, NET "/%s/uevent", nic);
    const char *at = text ? strstr(text, "DEVTYPE=") : NULL;

    out[0] = 0;
    if (at && sscanf(at + strlen("DEVTYPE="), "%63[a-z0-9_]", out) != 1)
        out[0] = 0;
}

const char *nic_kind(int root, const char *nic)
{
    /* What the kernel puts into the interface's directory tells; the first that is there. */
    static const struct {
        const char *file, *kind;
    } marks[] = {{"wireless", "wifi"},
                 {"phy80211", "wifi"},
                 {"bridge", "bridge"},
                 {"bonding", "bond"},
                 {"tun_flags", "tap"}};
    uint64_t type = 0;
    char devtype[64];

    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (sys_exists(root, NET "/%s/%s", nic, marks[i].file))
            return marks[i].kind;
    devtype_of(root, nic, devtype);
    if (str_eq(devtype, "vlan") || str_eq(devtype, "wwan"))
        return str_eq(devtype, "vlan") ? "vlan" : "wwan";
    if (!sys_exists(root, NET "/%s/device", nic))
        return "virtual";
    return sys_u64(root, &type, NET "/%s/type", nic) && type == ARPHRD_ETHER ? "ethernet" : "other";
}

static void put_text(json_t *v, const char *key, int root, const char *nic, const char *file)
{
    char text[64];

    json_put_text(v, key,
                  sys_text(root, text, sizeof text, NET "/%s/%s", nic, file) && text[0] ? text
                                                                                        : NULL);
}

/* -1 (unknown) and unreadable (the interface is down) are null. */
static void put_number(json_t *v, const char *key, int root, const char *nic, const char *file)
{
    uint64_t n;
    bool known = sys_u64(root, &n, NET "/%s/%s", nic, file) && n <= INT32_MAX;

    json_put(v, key, known ? json_integer((json_int_t)n) : NULL);
}

static void put_link(json_t *v, const char *key, int root, const char *nic, const char *link)
{
    char name[64];

    json_put_text(v, key, sys_link(root, name, sizeof name, NET "/%s/%s", nic, link) ? name : NULL);
}

static json_t *nic_of(int root, const char *nic)
{
    json_t *v = json_object();
    uint64_t carrier = 0;

    json_put_text(v, "name", nic);
    json_put_text(v, "kind", nic_kind(root, nic));
    put_text(v, "mac", root, nic, "address");
    put_text(v, "state", root, nic, "operstate");
    json_put_bool(v, "carrier", sys_u64(root, &carrier, NET "/%s/carrier", nic) && carrier == 1);
    put_number(v, "speed_mbit", root, nic, "speed");
    put_number(v, "mtu", root, nic, "mtu");
    put_link(v, "driver", root, nic, "device/driver");
    put_link(v, "pci_address", root, nic, "device");
    put_link(v, "master", root, nic, "master");
    return v;
}

json_t *nic_inventory(int root)
{
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, NET);
    json_t *list = json_array();

    for (size_t i = 0; i < names.n; i++) {
        const char *nic = names.name[i];
        uint64_t type = ARPHRD_LOOPBACK;
        if (sys_u64(root, &type, NET "/%s/type", nic) && type != ARPHRD_LOOPBACK &&
            str_is_utf8(nic, strlen(nic)))
            json_array_append_new(list, nic_of(root, nic));
    }
    return list;
}
