/* Words for the formats of images: see image.h. Apart from vm.c, for programs that need no more. */
#include "core/model/image.h"

#include <stddef.h>

const char *const image_format_names[] = {"qcow2", "raw", "vhd", "vhdx", "vmdk", NULL};
const char *const disk_drivers[] = {"qcow2", "raw", "vpc", "vhdx", "vmdk", NULL};
