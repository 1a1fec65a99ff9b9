/* QEMU's arguments for what a person or the guest's kernel talks to: monitor, serial ports,
 * display, pointer, and the small devices that watch. Part of argv.c's work and called by it only.
 */
#include "backends/qemu/builder.h"
#include "backends/qemu/machine.h"
#include "backends/qemu/places.h"

#include <stdio.h>

static void add_serial(struct builder *b, unsigned port)
{
    char id[24], chardev[24], log[24] = "serial";
    int fd = launch_fd(b, "serial");

    /* The first port is as it always was; a worker of an earlier release has no other. */
    if (port) {
        json_put_u64(json_array_get(b->fds, json_array_size(b->fds) - 1), "port", port);
        snprintf(log, sizeof log, "serial%u", port);
    }
    json_put_u64(b->logs, log, launch_attach(b, b->plan->serial_log_fds[port]));
    snprintf(id, sizeof id, "serial%u", port);
    snprintf(chardev, sizeof chardev, "ser%u", port);
    arg(b, "-chardev", "socket,id=%s,fd=%d", chardev, fd);
    arg_json(b, "-device",
             json_pack("{s:s,s:s,s:s,s:i}", "driver", "isa-serial", "id", id, "chardev", chardev,
                       "index", (int)port));
}

void consoles_add(struct builder *b)
{
    arg(b, "-chardev", "socket,id=qmp0,fd=%d", launch_fd(b, "qmp"));
    arg(b, "-mon", "chardev=qmp0,mode=control");
    for (unsigned i = 0; i < b->plan->spec->serial_ports; i++)
        add_serial(b, i);
    arg_json(b, "-device", json_pack("{s:s,s:s}", "driver", "pvpanic", "id", "pvpanic0"));
}

void display_add(struct builder *b)
{
    static const struct {
        const char *driver;
        bool many; /* takes a number of displays */
    } cards[] = {
        [VIDEO_STD] = {"VGA", false},
        [VIDEO_VIRTIO] = {"virtio-vga", true},
        [VIDEO_QXL] = {"qxl-vga", true},
        [VIDEO_CIRRUS] = {"cirrus-vga", false},
    };
    const struct vm_video *video = &b->plan->spec->video;
    json_t *card;

    if (video->model == VIDEO_NONE)
        return;
    card = json_pack("{s:s,s:s}", "driver", cards[video->model].driver, "id", VIDEO_DEVICE);
    if (cards[video->model].many)
        json_put_u64(card, "max_outputs", video->heads ? video->heads : 1);
    place_on_root(b, card, 1);
    arg_json(b, "-device", card);
}

void entropy_add(struct builder *b)
{
    json_t *rng;

    if (!b->plan->spec->rng)
        return;
    arg_json(b, "-object", json_pack("{s:s,s:s}", "qom-type", "rng-builtin", "id", "rng0"));
    rng = json_pack("{s:s,s:s,s:s}", "driver", "virtio-rng-pci", "id", "rngdev0", "rng", "rng0");
    place_on_pci(b, rng);
    arg_json(b, "-device", rng);
}

static void add_watchdog(struct builder *b)
{
    json_t *device;

    if (b->plan->spec->watchdog != WATCHDOG_I6300ESB)
        return;
    device = json_pack("{s:s,s:s}", "driver", "i6300esb", "id", "watchdog0");
    place_on_root(b, device, WATCHDOG_PLACE);
    arg_json(b, "-device", device);
}

/* Once, by whoever needs it first. Disks need more ports than a tablet does. */
void usb_add(struct builder *b, bool for_disks)
{
    json_t *usb;

    if (b->has_usb)
        return;
    b->has_usb = true;
    usb = json_pack("{s:s,s:s}", "driver", "qemu-xhci", "id", "usb0");
    if (b->made)
        json_put_u64(usb, "p3", places_usb_ports(b->made));
    else if (for_disks)
        json_put_u64(usb, "p3", USB_PORTS);
    place_on_root(b, usb, USB_PLACE);
    arg_json(b, "-device", usb);
}

/* The PS/2 mouse is part of the board; a tablet knows where it points. */
static void add_pointer(struct builder *b)
{
    json_t *tablet;

    if (b->plan->spec->pointer != POINTER_TABLET)
        return;
    usb_add(b, false);
    tablet = json_pack("{s:s,s:s,s:s}", "driver", "usb-tablet", "id", "tablet0", "bus", "usb0.0");
    place_on_usb(b, tablet);
    arg_json(b, "-device", tablet);
}

/* Always a number of our own: one that QEMU makes up would change at every start, and tell the
 * guest each time that its past is not its own (threat T22). */
static void add_generation(struct builder *b)
{
    static const struct uuid none;
    const struct uuid *id = &b->plan->spec->generation_id;

    if (uuid_eq(id, &none))
        return;
    arg_json(
        b, "-device",
        json_pack("{s:s,s:s,s:s}", "driver", "vmgenid", "id", "vmgenid0", "guid", UUID_STR(id)));
}

void helpers_add(struct builder *b)
{
    add_watchdog(b);
    add_pointer(b);
    add_generation(b);
}
