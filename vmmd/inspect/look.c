/* Which format an image has: by what it is said to be, which its content must agree with, or by its
 * content alone. A raw image is only what is said to be one: a guest writes its first bytes. */
#include "vmmd/inspect/look.h"

#include "core/base/str.h"

#define SECTOR 512

/* What files begin with. An image, or why it is none. */
static const struct {
    int at;
    const char *bytes;
    size_t len;
    int format; /* IMAGE_UNKNOWN: refused, with this */
    const char *why;
} marks[] = {
    {0, "QFI\xfb", 4, IMAGE_QCOW2, NULL},
    {0, "vhdxfile", 8, IMAGE_VHDX, NULL},
    {0, "conectix", 8, IMAGE_VHD, NULL},
    {0, "KDMV", 4, IMAGE_VMDK, NULL},
    {0, "# Disk DescriptorFile", 21, IMAGE_VMDK, NULL},
    {0, "COWD", 4, IMAGE_VMDK, NULL},
    {0, "QED\0", 4, IMAGE_UNKNOWN,
     "is a QED image: qemu-img convert -O qcow2 makes one of it that "
     "can be imported"},
    {64, "\x7f\x10\xda\xbe", 4, IMAGE_UNKNOWN,
     "is a VDI image: qemu-img convert -O qcow2 makes one of it that can be imported"},
    {0, "LUKS\xba\xbe", 6, IMAGE_UNKNOWN,
     "is encrypted by LUKS: say the format raw if the guest "
     "is to have it as it is"},
    {0, "WithoutFreeSpace", 16, IMAGE_UNKNOWN,
     "is an image of Parallels: qemu-img convert -O qcow2 makes one of it that can be imported"},
    {0, "\x1f\x8b", 2, IMAGE_UNKNOWN, "is packed by gzip: unpack it first"},
    {0,
     "\xfd"
     "7zXZ",
     5, IMAGE_UNKNOWN, "is packed by xz: unpack it first"},
    {0, "\x28\xb5\x2f\xfd", 4, IMAGE_UNKNOWN, "is packed by zstd: unpack it first"},
    {0, "BZh", 3, IMAGE_UNKNOWN, "is packed by bzip2: unpack it first"},
    {0, "PK\x03\x04", 4, IMAGE_UNKNOWN, "is a zip archive: unpack it first"},
    {257, "ustar", 5, IMAGE_UNKNOWN,
     "is a tar archive (an OVA is one): unpack it and import the "
     "image in it"},
};

static bool (*const looks[])(const struct source *s, struct image_facts *out, struct err *err) = {
    [IMAGE_QCOW2] = qcow2_look,
    [IMAGE_VHD] = vhd_look,
    [IMAGE_VHDX] = vhdx_look,
    [IMAGE_VMDK] = vmdk_look,
};

/* IMAGE_UNKNOWN, with why unless nothing is known of it. */
static int mark_find(const uint8_t head[SECTOR], const char **why)
{
    *why = NULL;
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (memcmp(head + marks[i].at, marks[i].bytes, marks[i].len) != 0)
            continue;
        *why = marks[i].why;
        return marks[i].format;
    }
    return IMAGE_UNKNOWN;
}

static bool content_is(const struct source *s, int *format, const char **why, struct err *err)
{
    uint8_t head[SECTOR] = {0}, tail[8] = {0};

    if (!source_read(s, 0, head, s->bytes < SECTOR ? s->bytes : SECTOR, err))
        return false;
    *format = mark_find(head, why);
    if (*format != IMAGE_UNKNOWN || *why || s->bytes < SECTOR)
        return true;
    if (!source_read(s, s->bytes - SECTOR, tail, sizeof tail, err))
        return false;
    *format = memcmp(tail, "conectix", sizeof tail) == 0 ? IMAGE_VHD : IMAGE_UNKNOWN;
    return true;
}

static bool raw_look(const struct source *s, struct image_facts *out, struct err *err)
{
    struct claims claims = {.format = "raw", .file_bytes = s->bytes};

    out->is_plain = true;
    claims.copy_bytes = s->held_bytes;
    return claims_end(&claims, (s->bytes + SECTOR - 1) / SECTOR * SECTOR, out, err);
}

static bool agrees(int format, int stated)
{
    return stated == IMAGE_UNKNOWN || format == stated;
}

static bool choose(const struct source *s, int stated, int *format, struct err *err)
{
    const char *why;

    /* A fixed vhd begins with the disk's own bytes, whatever these look like: by its end it is
     * known, and what is none is refused for that. */
    if (stated == IMAGE_RAW || stated == IMAGE_VHD) {
        *format = stated;
        return true;
    }
    if (!content_is(s, format, &why, err))
        return false;
    if (!agrees(*format, stated))
        return err_set(err, ERR_INVALID, "the file is no %s image%s%s", image_format_names[stated],
                       *format < 0 ? "" : ": it looks like ",
                       *format < 0 ? "" : image_format_names[*format]);
    if (why)
        return err_set(err, ERR_INVALID, "the file %s", why);
    return *format != IMAGE_UNKNOWN ||
           err_set(err, ERR_INVALID,
                   "the file is no image of a format that is known here: say the format raw if it "
                   "is the bytes of a disk as they are");
}

bool image_look(const struct source *s, int stated, struct image_facts *out, struct err *err)
{
    int format;

    *out = (struct image_facts){.backing_format = IMAGE_UNKNOWN, .file_bytes = s->bytes};
    if (stated < IMAGE_UNKNOWN || stated >= IMAGE_FORMATS)
        return err_set(err, ERR_INTERNAL, "there is no such format of images");
    if (!choose(s, stated, &format, err))
        return false;
    out->format = format;
    return format == IMAGE_RAW ? raw_look(s, out, err) : looks[format](s, out, err);
}
