"""A guest whose memory is full, and which goes on writing to it: one boot sector, assembled here.

It fills so many bytes from the first mebibyte on, a word in each page, and then says a '.' on the serial console about every
millisecond, after it has changed one page: each of them, one after the other."""
import os
import subprocess
import tempfile

CODE = """
    .code16
    cli
    xorw %%ax, %%ax
    movw %%ax, %%ds
    movw %%ax, %%ss
    movw $0x7c00, %%sp
    inb $0x92, %%al
    orb $2, %%al
    andb $0xfe, %%al
    outb %%al, $0x92
    lgdtl gdtr
    movl %%cr0, %%eax
    orl $1, %%eax
    movl %%eax, %%cr0
    ljmpl $8, $inside
    .code32
inside:
    movw $16, %%ax
    movw %%ax, %%ds
    movw %%ax, %%ss
    movl $0x7c00, %%esp
    movl $0x100000, %%edi
    movl $0x9e3779b9, %%eax
fill:
    movl %%eax, (%%edi)
    imull $1664525, %%eax
    addl $1013904223, %%eax
    addl $4096, %%edi
    cmpl $%(end)d, %%edi
    jb fill
again:
    movl $0x100000, %%edi
next:
    incl 4(%%edi)
    movw $0x3fd, %%dx
ready:
    inb %%dx, %%al
    testb $0x20, %%al
    jz ready
    movw $0x3f8, %%dx
    movb $'.', %%al
    outb %%al, %%dx
    rdtsc
    movl %%eax, %%esi
rest:
    rdtsc
    subl %%esi, %%eax
    cmpl $1000000, %%eax
    jb rest
    addl $4096, %%edi
    cmpl $%(end)d, %%edi
    jb next
    jmp again
    .balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word 23
    .long gdt
"""


def filled(size):
    """The sector's code for a guest that has 'size' bytes from the first mebibyte on in use."""
    with tempfile.TemporaryDirectory() as folder:
        source, linked, code = (os.path.join(folder, name) for name in ("guest.s", "guest.elf", "guest.bin"))
        with open(source, "w", encoding="utf-8") as file:
            file.write(CODE % {"end": (1 << 20) + size})
        subprocess.run(["as", "--32", "-o", source + ".o", source], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x7c00", "-e", "0x7c00", "-o", linked, source + ".o"], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", linked, code], check=True)
        with open(code, "rb") as file:
            return file.read()
