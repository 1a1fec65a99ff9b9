/* The contract and the web UI, byte for byte: see assets.h. A checkout without web/ builds too; its
 * three files are then empty. */
#define ASSET(name, path)                                                                          \
    .global name; .global name##_end; .balign 16; name: .incbin path; name##_end: .byte 0
#define NO_ASSET(name) .global name; .global name##_end; name: name##_end: .byte 0

    .section .rodata
    ASSET(asset_openapi, "openapi.yaml")
#if __has_include("web/index.html")
    ASSET(asset_index, "web/index.html")
#else
    NO_ASSET(asset_index)
#endif
#if __has_include("web/app.js")
    ASSET(asset_script, "web/app.js")
#else
    NO_ASSET(asset_script)
#endif
#if __has_include("web/app.css")
    ASSET(asset_style, "web/app.css")
#else
    NO_ASSET(asset_style)
#endif
    .section .note.GNU-stack, "", @progbits
