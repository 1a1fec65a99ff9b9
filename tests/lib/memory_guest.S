/* A guest in one sector that keeps its memory busy and sees to it that it is right. See
 * memory_guest.h.
 *
 *   boot    64 pages from 64 KiB on are filled, each with words of its own segment
 *   loop    counter + 1; of 16 pages from 384 KiB on one gets the counter, the one before becomes
 *           zeroes again; all pages are compared; "+<counter>\n" on COM1; hlt until the next tick
 *
 * A page that is not as it must be: "E" and stop. Assembled at its address in the tests' read-only
 * data; never run there. */
    .section .rodata
    .global memory_guest
    .balign 16
    .code16

    .set BASE, 0x7c00
    .set COUNTER, 0x8000
    .set COM1, 0x3f8
    .set KEPT, 0x1000 /* segments */
    .set KEPT_END, 0x5000
    .set BUSY, 0x6000
    .set PAGE, 0x100

memory_guest:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $BASE, %sp
    sti
    cld
    movl $0, COUNTER
    movw $KEPT, %bx
fill:
    call page
    rep stosw
    addw $PAGE, %bx
    cmpw $KEPT_END, %bx
    jb fill

count:
    movl COUNTER, %eax /* the page of the counter that was: zeroes again */
    call busy
    xorw %ax, %ax
    movw $2048, %cx
    rep stosw
    incl COUNTER
    movl COUNTER, %eax
    call busy
    movw %ax, %es:(%di)
    movw %ax, %es:4094(%di)

    movw $KEPT, %bx
check:
    call page
    repe scasw
    jne failed
    addw $PAGE, %bx
    cmpw $KEPT_END, %bx
    jb check
    movw $16, %dx
    movw $BUSY, %bx
quiet: /* of the busy pages, all but the counter's are zeroes */
    movw %bx, %es
    xorw %di, %di
    movb COUNTER, %al
    andb $15, %al
    movw %bx, %cx
    shrw $8, %cx
    andb $15, %cl
    cmpb %cl, %al
    je own
    xorw %ax, %ax
    movw $2048, %cx
    repe scasw
    jne failed
    jmp next
own:
    movw COUNTER, %ax
    cmpw %ax, %es:(%di)
    jne failed
    cmpw %ax, %es:4094(%di)
    jne failed
next:
    addw $PAGE, %bx
    decw %dx
    jnz quiet
    movb $'+', %al
    call say
    hlt
    jmp count

failed:
    movb $'E', %al
    call say
stop:
    hlt
    jmp stop

/* %bx: a segment. %es:%di and %cx for its page, %ax the word it is filled with. */
page:
    movw %bx, %es
    movw %bx, %ax
    xorw %di, %di
    movw $2048, %cx
    ret

/* %eax: a counter. %es:%di its page; keeps %ax. */
busy:
    movw %ax, %bx
    andw $15, %bx
    shlw $8, %bx
    addw $BUSY, %bx
    movw %bx, %es
    xorw %di, %di
    ret

/* %al, the counter in eight hexadecimal digits, a newline */
say:
    call put
    movl COUNTER, %ebx
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

    .org memory_guest + 510
    .word 0xaa55
    .section .note.GNU-stack, "", @progbits
