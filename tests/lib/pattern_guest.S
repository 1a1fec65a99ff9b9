/* The guest of tests/pattern as it is built, in the tests' read-only data: see pattern.h. */
    .section .rodata
    .global pattern_guest, pattern_guest_end
    .balign 16
pattern_guest:
    .incbin "pattern.bin"
pattern_guest_end:
    .section .note.GNU-stack, "", @progbits
