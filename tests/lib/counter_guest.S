/* A guest in one sector: counts on its disks, twenty times a second, and says so. See counter.h.
 *
 *   boot    sector 1 of the first disk read; "B<counter>\n" on COM1
 *   loop    counter + 1 written to sector 1 of each disk (BIOS, extended write) and flushed; when
 *           that has returned, "+<counter>\n"; hlt until the next tick of the timer
 *   power   ACPI's power button is looked at once a tick: pressed, it writes S5
 *
 * Sector 1: "CNT1", counter, processors beside the first, zeroes, the counter again in its last four
 * bytes. An error of a write or a flush says "E" and stops. Assembled at its address in the tests'
 * read-only data; never run there. */
    .section .rodata
    .global counter_guest
    .balign 16
    .code16

    .set BASE, 0x7c00
    .set SECTOR, 0x8000
    .set COM1, 0x3f8
    .set CMOS_CPUS, 0x5f /* QEMU keeps it when a processor is plugged in */
    .set PM1_STATUS, 0x600 /* where SeaBIOS puts it, on both machines */
    .set PM1_ENABLE, 0x602
    .set PM1_CONTROL, 0x604

counter_guest:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $BASE, %sp
    sti
    cld
    movw $PM1_ENABLE, %dx
    movw $0x100, %ax
    outw %ax, %dx

    movb $0x80, %dl
    movb $0x42, %ah
    call disk
    jc failed
    cmpl $0x31544e43, SECTOR /* "CNT1" */
    je known
    movw $SECTOR, %di
    movw $256, %cx
    xorw %ax, %ax
    rep stosw
    movl $0x31544e43, SECTOR
known:
    movb $'B', %al
    call say

count:
    incl SECTOR + 4
    movl SECTOR + 4, %eax
    movl %eax, SECTOR + 508
    movb $CMOS_CPUS, %al
    outb %al, $0x70
    inb $0x71, %al
    movb %al, SECTOR + 8
    movb (0x475), %cl /* BIOS: the number of disks */
    movb $0x80, %dl
each:
    pushw %cx
    movb $0x43, %ah
    call disk
    jc failed
    call flush
    popw %cx
    incw %dx
    decb %cl
    jnz each
    movb $'+', %al
    call say
    hlt
    movw $PM1_STATUS, %dx
    inw %dx, %ax
    testb $1, %ah
    jz count
    movw $PM1_CONTROL, %dx
    movw $0x2000, %ax /* sleep type 0 is S5 with QEMU; sleep enable */
    outw %ax, %dx
stop:
    hlt
    jmp stop

failed:
    movb $'E', %al
    call say
    jmp stop

/* %ah: 0x42 reads, 0x43 writes sector 1. Carry on failure. */
disk:
    movb $0, %al
    movw $(packet - counter_guest + BASE), %si
    int $0x13
    ret

/* The disk that the BIOS spoke to last flushes its cache: the BIOS itself has no word for that. Which
 * of the two channels it is on is not asked, since what has nothing to flush is quick. */
flush:
    pushw %dx
    movw $0x177, %dx
    call channel
    movw $0x1f7, %dx
    call channel
    popw %dx
    ret
channel:
    movb $0xe7, %al
    outb %al, %dx
busy:
    cli
    inb %dx, %al
    cmpb $0xff, %al /* no such port: this machine's disks are elsewhere */
    je idle
    testb $0x21, %al
    jnz failed
    testb $0x80, %al
    jz idle
    sti
    hlt /* until the interrupt, or a tick */
    jmp busy
idle:
    sti
    ret

/* %al, the counter in eight hexadecimal digits, a newline */
say:
    call put
    movl SECTOR + 4, %ebx
    movw $8, %cx
digit:
    roll $4, %ebx
    movb %bl, %al
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe decimal
    addb $('a' - '9' - 1), %al
decimal:
    call put
    loop digit
    movb $'\n', %al
put:
    movb %al, %ah
    movw $(COM1 + 5), %dx
full:
    inb %dx, %al
    testb $0x20, %al
    jz full
    movb %ah, %al
    movw $COM1, %dx
    outb %al, %dx
    ret

    .balign 4
packet: /* size, sectors, address, first sector */
    .byte 16, 0
    .word 1
    .word SECTOR, 0
    .quad 1

    .org counter_guest + 510
    .word 0xaa55
    .section .note.GNU-stack, "", @progbits
