/* The completion scripts, byte for byte: see completion.c. */
#define SCRIPT(symbol, path)                                                                       \
    .global symbol; .global symbol##_end; .balign 16;                                              \
    symbol: .incbin path; symbol##_end: .byte 0;

    .section .rodata
    SCRIPT(shell_bash, "cli/shell/vmmctl.bash")
    SCRIPT(shell_zsh, "cli/shell/vmmctl.zsh")
    SCRIPT(shell_fish, "cli/shell/vmmctl.fish")
    .section .note.GNU-stack, "", @progbits
