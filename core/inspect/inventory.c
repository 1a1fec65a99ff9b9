/* What the machine is made of: see inventory.h. */
#include "core/inspect/inventory.h"

#include "core/base/cleanup.h"
#include "core/inspect/cpu.h"
#include "core/inspect/drive.h"
#include "core/inspect/nic.h"
#include "core/inspect/numa.h"
#include "core/inspect/pci.h"
#include "core/inspect/usb.h"

json_t *inventory_read(int root)
{
    static const struct {
        const char *member;
        json_t *(*read)(int root);
    } parts[] = {{"cpu", cpu_inventory}, {"numa", numa_inventory}, {"pci", pci_inventory},
                 {"usb", usb_inventory}, {"nics", nic_inventory},  {"drives", drive_inventory}};
    json_t *v = json_object();

    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        json_put(v, parts[i].member, parts[i].read(root));
    return v;
}
