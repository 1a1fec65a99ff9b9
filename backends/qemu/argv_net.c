/* QEMU's arguments for network cards. Part of argv.c's work and called by it only. */
#include "backends/qemu/builder.h"

#include <stdio.h>

static const struct {
    const char *driver;
    bool express; /* can sit on a root port and be plugged in later */
} models[] = {
    [NIC_VIRTIO] = {"virtio-net-pci", true},
    [NIC_E1000E] = {"e1000e", true},
    [NIC_E1000] = {"e1000", false},
    [NIC_RTL8139] = {"rtl8139", false},
};

unsigned nics_pci_slots(const struct machine_plan *plan)
{
    unsigned n = 0;

    for (size_t i = 0; i < plan->spec->n_nics; i++)
        n += models[plan->spec->nics[i].model].express;
    return n;
}

static void add_netdev(struct builder *b, const char *id)
{
    char fd[16];

    if (!b->facts->passt) {
        /* QEMU's own network stack lives in the jail's empty network: the guest gets an address,
         * and reaches nobody. */
        arg_json(b, "-netdev", json_pack("{s:s,s:s,s:b}", "type", "user", "id", id, "restrict", 1));
        return;
    }
    snprintf(fd, sizeof fd, "%d", launch_fd(b, "passt"));
    arg_json(b, "-netdev",
             json_pack("{s:s,s:s,s:b,s:{s:s,s:s}}", "type", "stream", "id", id, "server", 0, "addr",
                       "type", "fd", "str", fd));
}

static void add_nic(struct builder *b, size_t i)
{
    const struct vm_nic *nic = &b->plan->spec->nics[i];
    char netdev[32], id[32];
    json_t *device;

    snprintf(netdev, sizeof netdev, "net%zu", i);
    snprintf(id, sizeof id, "nic%zu", i);
    add_netdev(b, netdev);
    device =
        json_pack("{s:s,s:s,s:s}", "driver", models[nic->model].driver, "id", id, "netdev", netdev);
    /* An empty romfile: a boot ROM costs every start a second, and the jail's /usr is gone when a
     * card is plugged in later. Only who boots from the network first gets it. */
    if (!b->facts->boot_roms || !boot_network_first(b->plan->spec))
        json_put_text(device, "romfile", "");
    if (nic->mac)
        json_put_text(device, "mac", nic->mac);
    boot_place(b, device, BOOT_NETWORK, i);
    if (models[nic->model].express)
        place_on_pci(b, device);
    else
        place_on_root(b, device, CARD_FIRST + (unsigned)i);
    arg_json(b, "-device", device);
}

void nics_add(struct builder *b)
{
    for (size_t i = 0; i < b->plan->spec->n_nics; i++)
        add_nic(b, i);
}
