/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the emulator's loader to C, and from an interrupt to C.
 *
 * The loader finds the PVH note and enters cvd_guest_start in 32-bit protected mode without paging,
 * the address of the start info in EBX; this is after the firmware has run, so that the BARs have
 * their places. A window of 1 GiB and more lies above 4 GiB, so the guest goes on to 64-bit mode:
 *
 *   0 … 1 GiB      itself, write-back (the image, its stack; ACPI tables)
 *   1 … 4 GiB      itself, uncached (the device's registers, APICs)
 *   512 GiB …      the window, up to 2 GiB; mapped by cvd_guest_map_window once its BAR is known
 *
 * all with pages of 2 MiB. Other processors are never started. A processor without 64-bit mode cannot
 * go on, and says so.
 *
 * Machine types of QEMU before 4.0 do not look for the note, and take the file for a kernel of 1991:
 * its first five sectors, at 0x90000, are entered in real mode behind the first, the others are at
 * 0x10000, and the command line is 16 bytes above the stack, which has the first part's segment (all
 * this is what QEMU's option ROM linuxboot does). There cvd_guest_legacy puts the image where it
 * belongs, makes a start info, and goes on as above.
 *
 * An interrupt enters one of 256 stubs, which puts its vector (and a zero where the processor gives
 * no error code) on the stack, and lands in cvd_guest_interrupt(frame), see interrupts.h.
 */

    .section .note.Xen, "a", @note
    .balign 4
    .long 4                         /* size of the name */
    .long 8                         /* size of the address */
    .long 18                        /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad cvd_guest_start

    .set IMAGE, 0x100000
    .set LEGACY_FIRST, 0x90000
    .set LEGACY_REST, 0x10000
    .set LEGACY_SIZE, 5 * 512       /* of the first part */
    .set LEGACY_INFO, 0x90c00

    .section .legacy, "ax", @progbits
    .code16
cvd_guest_legacy:
    jmp legacy16
    .org 0x80                       /* the loader writes to the fields of newer kernels in between */
legacy16:
    cli
    cld
    movzwl %sp, %ebx
    movw %cs, %ax
    movw %ax, %ds
    lgdtl legacy_gdt_pointer - cvd_guest_legacy
    movl %cr0, %eax
    orl $1, %eax                    /* protected mode */
    movl %eax, %cr0
    ljmpl $0x08, $LEGACY_FIRST + 0x200 + legacy32 - cvd_guest_legacy

    .code32
legacy32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    inb $0x92, %al
    orb $0x02, %al                  /* A20 */
    andb $0xfe, %al
    outb %al, $0x92
    movl $LEGACY_FIRST, %esi
    movl $IMAGE, %edi
    movl $LEGACY_SIZE, %ecx
    rep movsb
    movl $LEGACY_REST, %esi
    movl $cvd_guest_image_end - IMAGE - LEGACY_SIZE, %ecx
    rep movsb

    movl $LEGACY_INFO, %edi         /* struct start_info */
    xorl %eax, %eax
    movl $10, %ecx
    rep stosl
    addl $LEGACY_FIRST + 16, %ebx
    movl $0x336ec578, LEGACY_INFO
    movl %ebx, LEGACY_INFO + 24
    movl $LEGACY_INFO, %ebx
    movl $cvd_guest_start, %eax
    jmp *%eax

    .balign 8
legacy_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        /* 0x08: 32-bit code */
    .quad 0x00cf93000000ffff        /* 0x10: data */
legacy_gdt_pointer:
    .word legacy_gdt_pointer - legacy_gdt - 1
    .long LEGACY_FIRST + 0x200 + legacy_gdt - cvd_guest_legacy

    .text
    .code32
    .globl cvd_guest_start
cvd_guest_start:
    cli
    cld
    movl %ebx, %esi
    movl $cvd_guest_bss_start, %edi
    movl $cvd_guest_bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    testl $0x20000000, %edx         /* long mode */
    jz no_long_mode

    movl $pdpt_low + 0x3, pml4
    movl $cvd_guest_window_pdpt + 0x3, pml4 + 8 * 1
    movl $pd_low + 0x0003, pdpt_low
    movl $pd_low + 0x1003, pdpt_low + 8
    movl $pd_low + 0x2003, pdpt_low + 16
    movl $pd_low + 0x3003, pdpt_low + 24
    movl $pd_low, %edi
    movl $0x83, %eax                /* present, writable, 2 MiB */
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    cmpl $pd_low + 0x1000, %edi
    jne 2f
    orl $0x18, %eax                 /* uncached from 1 GiB on */
2:  cmpl $pd_low + 0x4000, %edi
    jne 1b

    movl $pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax                 /* PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx          /* EFER: long mode */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax          /* caches on */
    orl $0x80010001, %eax           /* paging, write protection, protected mode */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $start64

/* Nothing of the guest's C runs here, so the line goes to COM1 by hand; a port that is stuck loses it. */
no_long_mode:
    movl $no_long_mode_text, %esi
1:  movw $0x3fd, %dx
    movl $3000000, %ecx
2:  inb %dx, %al
    testb $0x20, %al                /* has room */
    loopz 2b
    lodsb
    testb %al, %al
    jz 3f
    movw $0x3f8, %dx
    outb %al, %dx
    jmp 1b
3:  cli
    hlt
    jmp 3b

    .code64
start64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq $stack_top, %rsp
    xorl %ebp, %ebp
    movl %esi, %edi
    call cvd_guest_main
1:  cli
    hlt
    jmp 1b

/* Stubs of 16 bytes each; vectors 8, 10-14, 17, 21, 29 and 30 come with an error code. */
    .balign 16
    .globl cvd_guest_stubs
cvd_guest_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21 && vector != 29 && vector != 30
    pushq $0
    .endif
    pushq $vector
    jmp common
    .set vector, vector + 1
    .endr

    .balign 16
common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    cld
    leaq 72(%rsp), %rdi             /* the vector; see struct cvd_guest_frame */
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    call cvd_guest_interrupt
    movq %rbp, %rsp
    popq %rbp
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .rodata
no_long_mode_text:
    .asciz "cvd-guest: bad processor: it has no 64-bit mode (see qemu.cpu)\r\n"
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff        /* 0x08: 64-bit code */
    .quad 0x00cf93000000ffff        /* 0x10: data */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
    .long 0

    .bss
    .balign 4096
pml4:
    .skip 4096
pdpt_low:
    .skip 4096
pd_low:
    .skip 4 * 4096
    .globl cvd_guest_window_pdpt
cvd_guest_window_pdpt:
    .skip 4096
    .globl cvd_guest_window_pds
cvd_guest_window_pds:
    .skip 2 * 4096
stack:
    .skip 32768
stack_top:
    .section .note.GNU-stack, "", @progbits
