/* How the guest of pattern.c comes to 64 bits: the boot sector, and where the other processors begin.
 *
 *   0x6000  what the firmware says of the memory (E820), an empty entry at the end
 *   0x7c00  this and pattern.c: the first sector, and LOADED from the third one on, since the second
 *           has the counter; 0x8000 is where the others begin
 *   0x10000 page tables: the first 8 GiB where they are, in pages of 2 MiB
 *   0x20000 stacks, a page each
 *   0x30000 struct state of pattern.c
 *
 * Exceptions are not expected: one resets the machine, and the guest says "B" again. */
    .set LOADED, 31
    .set MAP, 0x6000
    .set TABLES, 0x10000
    .set STACKS, 0x20000
    .set STATE, 0x30000
    .set TICKS, STATE + 8
    .set TRAMPOLINE, 0x400 /* 0x8000, a page's beginning */

    .text
    .code16
    .global _start
_start:
    jmp begin
    .org 8
    .global settings
settings: /* struct settings of pattern.c; tests/lib/pattern.c writes it */
    .long 1, 0, 0, 0

begin:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $_start, %sp
    sti
    cld
    movb $0x42, %ah
    movw $packet, %si
    int $0x13
    jc stop

    xorl %ebx, %ebx
    movw $MAP, %di
region:
    movl $0xe820, %eax
    movl $24, %ecx
    movl $0x534d4150, %edx
    int $0x15
    jc mapped
    addw $24, %di
    testl %ebx, %ebx
    jnz region
mapped:
    xorw %ax, %ax
    movw $12, %cx
    rep stosw
    cli

    movw $(STATE >> 4), %ax
    movw %ax, %es
    xorl %eax, %eax
    xorw %di, %di
    movw $0x4000, %cx
    rep stosl
    movw $(TABLES >> 4), %ax
    movw %ax, %es
    xorl %eax, %eax
    xorw %di, %di
    movw $0x2800, %cx
    rep stosl
    movl $(TABLES + 0x1003), %es:0
    movl $(TABLES + 0x2003), %eax
    movw $0x1000, %di
directory:
    movl %eax, %es:(%di)
    addl $0x1000, %eax
    addw $8, %di
    cmpw $0x1040, %di
    jb directory
    movl $0x83, %eax /* present, writable, large */
    xorl %edx, %edx
    movw $0x2000, %di
    movw $4096, %cx
entry:
    movl %eax, %es:(%di)
    movl %edx, %es:4(%di)
    addl $0x200000, %eax
    adcl $0, %edx
    addw $8, %di
    loop entry
    jmp enter

stop:
    hlt
    jmp stop

    .balign 4
packet: /* size, sectors, address, first sector */
    .byte 16, 0
    .word LOADED
    .word 0x7e00, 0
    .quad 2 /* behind the counter's */

    .org 510
    .word 0xaa55

gdt:
    .quad 0
    .quad 0x00209a0000000000 /* code, 64 bits */
    .quad 0x0000920000000000
gdt_at:
    .word 23
    .long gdt

    .org TRAMPOLINE
    cli
    ljmp $0, $other
other:
    xorw %ax, %ax
    movw %ax, %ds
enter:
    lgdt gdt_at
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $TABLES, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    ljmp $8, $wide

    .code64
wide:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $1, %edi
    lock xaddl %edi, STATE /* its number */
    movl %edi, %eax
    incl %eax
    shll $12, %eax
    leal STACKS(%rax), %esp
    call run
forever:
    hlt
    jmp forever

    .global on_tick, on_call
on_tick:
    pushq %rax
    movb $0x20, %al
    outb %al, $0x20
    lock incq TICKS
    popq %rax
    iretq

on_call:
    pushq %rax
    movl $0xfee000b0, %eax
    movl $0, (%rax)
    popq %rax
    iretq
    .section .note.GNU-stack, "", @progbits
