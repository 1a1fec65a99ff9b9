/* Checks of the network: interfaces, and what VMs' networks are made with. */
#include "core/inspect/check.h"

#include "core/base/json.h"
#include "core/base/str.h"
#include "core/inspect/nic.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>

static enum severity look_passt(struct sight *s)
{
    if (sys_exists(s->facts->root, "usr/bin/passt"))
        return saw(s, SEVERITY_OK, "/usr/bin/passt");
    return saw(s, SEVERITY_WARNING, "/usr/bin/passt is missing");
}

static bool is_physical(const char *kind)
{
    return str_eq(kind, "ethernet") || str_eq(kind, "wifi") || str_eq(kind, "wwan");
}

static enum severity look_nics(struct sight *s)
{
    CLEANUP(json_decrefp) json_t *nics = nic_inventory(s->facts->root);
    char text[400] = "";
    bool linked = false;
    size_t len = 0, i;
    json_t *nic;

    json_array_foreach (nics, i, nic) {
        const char *kind = json_get_text(nic, "kind");
        bool carrier = json_get_bool(nic, "carrier", false);
        linked |= carrier && (is_physical(kind) || s->cpu->hypervisor);
        if (len < sizeof text && (is_physical(kind) || s->cpu->hypervisor))
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s (%s, %s)", len ? ", " : "",
                                    json_get_text(nic, "name"), kind, carrier ? "link" : "no link");
    }
    if (!len)
        return saw(s, SEVERITY_INFO, "no network card in /sys/class/net");
    return saw(s, linked ? SEVERITY_OK : SEVERITY_INFO, "%s", text);
}

static enum severity look_wifi(struct sight *s)
{
    CLEANUP(json_decrefp) json_t *nics = nic_inventory(s->facts->root);
    json_t *nic;
    size_t i;

    json_array_foreach (nics, i, nic)
        if (str_eq(json_get_text(nic, "kind"), "wifi") && json_get_bool(nic, "carrier", false))
            return saw(s, SEVERITY_INFO,
                       "%s is WiFi: an access point takes frames from its own address only, so a "
                       "plain bridge does not work",
                       json_get_text(nic, "name"));
    return SEVERITY_NONE;
}

static enum severity look_tun(struct sight *s)
{
    if (sys_exists(s->facts->root, "dev/net/tun"))
        return saw(s, SEVERITY_OK, "/dev/net/tun exists");
    return saw(s, SEVERITY_INFO, "/dev/net/tun does not exist");
}

static enum severity look_vhost(struct sight *s)
{
    if (sys_exists(s->facts->root, "dev/vhost-net"))
        return saw(s, SEVERITY_OK, "/dev/vhost-net exists");
    return saw(s, SEVERITY_INFO, "/dev/vhost-net does not exist");
}

static enum severity look_nft(struct sight *s)
{
    if (sys_exists(s->facts->root, "usr/sbin/nft") || sys_exists(s->facts->root, "usr/bin/nft"))
        return saw(s, SEVERITY_OK, "nft is installed");
    return saw(s, SEVERITY_INFO, "/usr/sbin/nft is missing");
}

static const struct check checks[] = {
    {"nics", "Network cards", look_nics,
     "connect a cable or join a WiFi network; guests reach each other and the host without one"},
    {"wifi", "WiFi as uplink", look_wifi, "use user networking, or an interface with a cable"},
    {"passt", "passt for user networking", look_passt, "install the package passt"},
    {"tun", "Taps for switched networking", look_tun, "load the module: modprobe tun"},
    {"vhost-net", "Fast switched networking (vhost)", look_vhost,
     "load the module: modprobe vhost_net"},
    {"nft", "nftables for rules of networks", look_nft, "install the package nftables"},
};
const struct check_topic checks_network = {"network", checks, ARRAY_LEN(checks)};
