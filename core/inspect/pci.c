/* The PCI devices of the host: see pci.h. */
#include "core/inspect/pci.h"

#include "core/base/str.h"
#include "core/inspect/ids.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

#define DEVICES "sys/bus/pci/devices"

/* For hosts without pci.ids: what a class is, as far as an owner of VMs cares. */
static const char *class_word(unsigned class_id)
{
    static const char *const words[] = {"Unclassified device",
                                        "Storage controller",
                                        "Network controller",
                                        "Display controller",
                                        "Multimedia device",
                                        "Memory controller",
                                        "Bridge",
                                        "Communication device",
                                        "System peripheral",
                                        "Input device",
                                        "Docking station",
                                        "Processor",
                                        "Serial bus controller",
                                        "Wireless controller",
                                        "Intelligent controller",
                                        "Satellite communication",
                                        "Encryption controller",
                                        "Signal processing controller",
                                        "Processing accelerator",
                                        "Non-essential instrumentation"};

    return class_id < ARRAY_LEN(words) ? words[class_id] : "Other device";
}

static void put_number(json_t *v, const char *key, int root, const char *address, const char *file)
{
    uint64_t n;
    bool known = sys_u64(root, &n, DEVICES "/%s/%s", address, file) && n <= 65535;

    json_put(v, key, known ? json_integer((json_int_t)n) : NULL);
}

static void put_link(json_t *v, const char *key, int root, const char *address, const char *link)
{
    char name[64];

    json_put_text(v, key,
                  sys_link(root, name, sizeof name, DEVICES "/%s/%s", address, link) ? name : NULL);
}

static void put_names(json_t *v, const struct ids *ids, unsigned class_code, unsigned vendor,
                      unsigned device)
{
    char vendor_name[96], device_name[96], class_name[96];

    ids_device(ids, vendor, device, vendor_name, device_name);
    ids_class(ids, class_code >> 16, class_code >> 8, class_name);
    json_put_text(v, "class_name", class_name[0] ? class_name : class_word(class_code >> 16));
    json_put_text(v, "vendor_name", vendor_name[0] ? vendor_name : NULL);
    json_put_text(v, "device_name", device_name[0] ? device_name : NULL);
}

/* {total, enabled} of a physical function; null for all others. */
static json_t *sriov_of(int root, const char *address)
{
    uint64_t total, enabled = 0;
    json_t *v;

    if (!sys_u64(root, &total, DEVICES "/%s/sriov_totalvfs", address) || total > 65535)
        return NULL;
    if (!sys_u64(root, &enabled, DEVICES "/%s/sriov_numvfs", address) || enabled > total)
        enabled = 0;
    v = json_object();
    json_put_u64(v, "total", total);
    json_put_u64(v, "enabled", enabled);
    return v;
}

static void put_hex(json_t *v, const char *key, unsigned number, int digits)
{
    char text[16];

    snprintf(text, sizeof text, "%0*x", digits, number);
    json_put_text(v, key, text);
}

static json_t *device_of(int root, const struct ids *ids, const char *address)
{
    uint64_t class_code = 0, vendor = 0, device = 0, group;
    char name[64];
    json_t *v;

    if (!sys_u64(root, &vendor, DEVICES "/%s/vendor", address) ||
        !sys_u64(root, &device, DEVICES "/%s/device", address) ||
        !sys_u64(root, &class_code, DEVICES "/%s/class", address))
        return NULL;
    v = json_object();
    json_put_text(v, "address", address);
    put_hex(v, "class", (unsigned)class_code & 0xffffff, 6);
    put_hex(v, "vendor", (unsigned)vendor & 0xffff, 4);
    put_hex(v, "device", (unsigned)device & 0xffff, 4);
    put_names(v, ids, (unsigned)class_code, (unsigned)vendor, (unsigned)device);
    put_link(v, "driver", root, address, "driver");
    json_put(v, "iommu_group",
             sys_link(root, name, sizeof name, DEVICES "/%s/iommu_group", address) &&
                     str_to_u64(name, &group)
                 ? json_integer((json_int_t)group)
                 : NULL);
    put_number(v, "numa_node", root, address, "numa_node"); /* -1 is no number: null */
    json_put(v, "sriov", sriov_of(root, address));
    put_link(v, "physical_function", root, address, "physfn");
    return v;
}

json_t *pci_inventory(int root)
{
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, DEVICES);
    CLEANUP(ids_close) struct ids ids = {0};
    json_t *list = json_array();

    if (names.n)
        ids_open(root, "pci.ids", &ids);
    for (size_t i = 0; i < names.n; i++) {
        json_t *v = device_of(root, &ids, names.name[i]);
        if (v)
            json_array_append_new(list, v);
    }
    return list;
}
