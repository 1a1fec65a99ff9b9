/* A storage pool's settings: what a client writes. */
#pragma once
#include "core/model/field.h"

/* What a client says of a pool. */
struct pool_settings {
    char *name;
    char *root;             /* id of a configured root; not changed later */
    uint64_t quota_bytes;   /* 0: none */
    uint64_t reserve_bytes; /* 4 PiB: as usual */
    int default_format;     /* enum disk_format */
};
extern const struct model pool_model; /* struct pool_settings, schema PoolSpec */
