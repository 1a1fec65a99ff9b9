/* A guest in one sector that takes all memory it has, 36 MiB a second at most: each page above the first
 * MiB gets a word. "D\n" on COM1 when it has them all. For tools/kernel_steps.sh.
 *
 * The pages are reached in real mode by a segment register that was given 4 GiB before, so that the
 * firmware's timer goes on: it wakes the processor 18 times a second. The memory above 16 MiB is what
 * the CMOS says of it, in units of 64 KiB. */
    .section .rodata
    .balign 16
    .code16

    .set BASE, 0x7c00
    .set PAGES, 512 /* each tick */
    .set COM1, 0x3f8

hog_guest:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $BASE, %sp
    movb $0x35, %al
    outb %al, $0x70
    inb $0x71, %al
    movb %al, %ah
    movb $0x34, %al
    outb %al, $0x70
    inb $0x71, %al
    movzwl %ax, %ebp
    addl $256, %ebp
    shll $16, %ebp /* where memory ends */

    lgdtl BASE + (gdt_at - hog_guest)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %fs
    andb $0xfe, %al
    movl %eax, %cr0
    sti
    movl $0x100000, %edi
tick:
    hlt
    movw $PAGES, %cx
page:
    movl %edi, %fs:(%edi)
    addl $4096, %edi
    cmpl %ebp, %edi
    jae full
    loop page
    jmp tick
full:
    movw $COM1, %dx
    movb $'D', %al
    outb %al, %dx
    movb $'\n', %al
    outb %al, %dx
rest:
    hlt
    jmp rest

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf92000000ffff /* data, from 0, 4 GiB */
gdt_at:
    .word 15
    .long BASE + (gdt - hog_guest)

    .org hog_guest + 510
    .byte 0x55, 0xaa
