// First instructions of a program without an operating system: floating point on, a stack, then main.

    .section .text.start, "ax"
    .globl _start
_start:
    csrr  t0, mhartid
    bnez  t0, park
    la    sp, stack_top
    li    t0, 0x6000            // mstatus.FS: dirty
    csrs  mstatus, t0
    call  main
park:
    wfi
    j     park
