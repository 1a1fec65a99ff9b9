/* What an image file can be: the formats of disks (vm.h), and one that is only read. */
#pragma once
#include "core/model/vm.h"

enum image_format {
    IMAGE_UNKNOWN = -1,
    IMAGE_QCOW2 = DISK_QCOW2,
    IMAGE_RAW = DISK_RAW,
    IMAGE_VHD = DISK_VHD,
    IMAGE_VHDX = DISK_VHDX,
    IMAGE_VMDK,
    IMAGE_FORMATS
};

extern const char *const image_format_names[]; /* "qcow2" …, ends with NULL */
