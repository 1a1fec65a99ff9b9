/* The contract and the web UI, byte for byte: see assets.h. */
#include "api/assets.h"

#define ASSET(symbol, path)                                                                        \
    .global symbol; .global symbol##_end; .balign 16;                                              \
    symbol: .incbin path; symbol##_end: .byte 0;
#define UI_ASSET(symbol, path, type) ASSET(symbol, path)

    .section .rodata
    ASSET(asset_openapi, "openapi.yaml")
    UI_FILES(UI_ASSET)
    .section .note.GNU-stack, "", @progbits
