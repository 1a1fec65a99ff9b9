/* The field table of a pool's settings: see pool.h. */
#include "core/model/pool.h"

#include "core/model/vm.h"

#define BYTES_MAX  4503599627370496 /* as a reserve: as usual */
#define OF(member) .offset = offsetof(struct pool_settings, member)
/* clang-format off */
static const struct field pool_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, OF(name), .min = 1,
     .max = NAME_MAX_BYTES, .check = check_name, .help = "unique"},
    {.name = "root", .type = FIELD_TEXT, .flags = FIELD_REQUIRED | FIELD_CREATE_ONLY, OF(root),
     .min = 1, .max = NAME_MAX_BYTES, .check = check_name,
     .help = "id of a configured root; GET /host lists them"},
    {.name = "quota_bytes", .type = FIELD_U64, OF(quota_bytes), .max = BYTES_MAX, .fallback = "0",
     .help = "how much its files may take; 0: all there is"},
    {.name = "reserve_bytes", .type = FIELD_U64, OF(reserve_bytes), .max = BYTES_MAX,
     .fallback = "4503599627370496",
     .help = "kept free for what is there; absent or null: 5 % of the file system, at most 1 GiB"},
    {.name = "default_format", .type = FIELD_ENUM, OF(default_format), .names = disk_format_names,
     .fallback = "\"qcow2\"", .help = "format of new disks that say none"},
};
/* clang-format on */
const struct model pool_model = {"PoolSpec", sizeof(struct pool_settings), pool_fields,
                                 ARRAY_LEN(pool_fields)};
