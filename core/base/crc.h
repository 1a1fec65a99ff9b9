/* CRC-32C (Castagnoli), as iSCSI and ext4 have it: finds torn and rotten bytes, not forged ones. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Goes on from 'crc', which is 0 for the first part. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
