# A small monitor for a board without an operating system: reads, writes and dumps memory at a prompt on the serial port.
# It runs in machine mode on hart 0, where the board starts it (0x80000000); every access that the board refuses comes back as
# a line that says so. Boot it with -bios none -kernel.
#
# s0 holds the serial port for good. A command keeps its address in s3, its data in s4, log2 of its width in s2;
# s1 is where parsing has got to in the line. s6 is 1 while output stands in the middle of a line.

start:
    csrr t0, mhartid
    bnez t0, park
    la sp, stack_end
    la t0, trap
    csrw mtvec, t0
    li s0, 0x10000000           # 16550A: data 0, line status 5
    la a0, banner
    call print

prompt:
    li s6, 0
    la a0, prompt_text
    call print
    call read_line
    la s1, line
    call skip_blanks
    lbu t0, 0(s1)
    beqz t0, prompt
    la a0, word_help
    call match
    bnez a0, help
    la a0, word_question
    call match
    bnez a0, help
    la a0, word_quit
    call match
    bnez a0, quit
    la a0, word_dump
    call match
    bnez a0, dump
    lbu s5, 0(s1)               # r or w, and the width after it
    lbu t1, 1(s1)
    addi s1, s1, 2
    li s2, 0
    li t2, 'b'
    beq t1, t2, 1f
    li s2, 1
    li t2, 'h'
    beq t1, t2, 1f
    li s2, 3
    li t2, 'd'
    beq t1, t2, 1f
    li s2, 2
    li t2, 'w'
    beq t1, t2, 1f
    addi s1, s1, -1             # no width: a word, and this must be the end of the command
1:  lbu t1, 0(s1)
    beqz t1, 2f
    li t2, ' '
    bne t1, t2, unknown
2:  li t2, 'r'
    beq s5, t2, read
    li t2, 'w'
    beq s5, t2, write

unknown:
    la a0, unknown_text
    call print
    j prompt

usage:
    la a0, usage_text
    call print
    j prompt

help:
    la a0, help_text
    call print
    j prompt

quit:
    li t0, 0x100000             # the test finisher: 0x5555 ends the machine with status 0
    li t1, 0x5555
    sw t1, 0(t0)
park:
    wfi
    j park

read:
    call number
    beqz a1, usage
    mv s3, a0
    call end_of_line
    beqz a0, usage
    beqz s2, 1f
    li t0, 1
    beq s2, t0, 2f
    li t0, 2
    beq s2, t0, 3f
    ld s4, 0(s3)
    j 4f
1:  lbu s4, 0(s3)
    j 4f
2:  lhu s4, 0(s3)
    j 4f
3:  lwu s4, 0(s3)
4:  la a0, hex_prefix
    call print
    li a1, 2
    sll a1, a1, s2              # two digits a byte
    mv a0, s4
    call print_hex
    call new_line
    j prompt

write:
    call number
    beqz a1, usage
    mv s3, a0
    call number
    beqz a1, usage
    mv s4, a0
    call end_of_line
    beqz a0, usage
    beqz s2, 1f
    li t0, 1
    beq s2, t0, 2f
    li t0, 2
    beq s2, t0, 3f
    sd s4, 0(s3)
    j prompt
1:  sb s4, 0(s3)
    j prompt
2:  sh s4, 0(s3)
    j prompt
3:  sw s4, 0(s3)
    j prompt

# Rows of 16 bytes, read one by one: the address, the bytes, then those of them that are printable.
dump:
    addi s1, s1, 1
    call number
    beqz a1, usage
    mv s3, a0
    li s4, 64
    call end_of_line
    bnez a0, 1f
    call number
    beqz a1, usage
    mv s4, a0
    call end_of_line
    beqz a0, usage
    li t0, 0x1000
    bltu t0, s4, usage
1:  beqz s4, prompt
    li s6, 1
    mv a0, s3
    li a1, 16
    call print_hex
    la s7, row
    mv s8, s7
2:  la a0, gap
    call print
    lbu s9, 0(s3)
    mv a0, s9
    li a1, 2
    call print_hex
    addi t0, s9, -32
    li t1, 95
    bltu t0, t1, 3f
    li s9, '.'
3:  sb s9, 0(s8)
    addi s8, s8, 1
    addi s3, s3, 1
    addi s4, s4, -1
    beqz s4, 4f
    addi t0, s7, 16
    bltu s8, t0, 2b
4:  sb zero, 0(s8)
    la a0, gap
    call print
    la a0, gap
    call print
    mv a0, s7
    call print
    call new_line
    li s6, 0
    j 1b

# Whatever the monitor's own code did to get here, it starts again at the prompt.
    .align 2
trap:
    la sp, stack_end
    beqz s6, 1f
    call new_line
1:  csrr t0, mcause
    li t1, 8
    la a0, cause_names
    bltu t0, t1, 2f
    la a0, other_cause
    j 4f
2:  beqz t0, 4f                 # skip as many names as the cause says
3:  lbu t1, 0(a0)
    addi a0, a0, 1
    bnez t1, 3b
    addi t0, t0, -1
    bnez t0, 3b
4:  call print
    la a0, at_text
    call print
    csrr a0, mtval
    li a1, 16
    call print_hex
    la a0, pc_text
    call print
    csrr a0, mepc
    li a1, 16
    call print_hex
    call new_line
    j prompt

# Reads a line into `line`, with echo. Backspace takes one back, Ctrl-U and Ctrl-C all of it.
read_line:
    addi sp, sp, -16
    sd ra, 8(sp)
    la s7, line
    addi s8, s7, 79             # room for the NUL
1:  lbu t0, 5(s0)
    andi t0, t0, 1
    beqz t0, 1b
    lbu a0, 0(s0)
    li t0, 13
    beq a0, t0, 4f
    li t0, 10
    beq a0, t0, 4f
    li t0, 127
    beq a0, t0, 2f
    li t0, 8
    beq a0, t0, 2f
    li t0, 3
    beq a0, t0, 3f
    li t0, 21
    beq a0, t0, 3f
    li t0, 32
    bltu a0, t0, 1b
    bgeu s7, s8, 1b
    sb a0, 0(s7)
    addi s7, s7, 1
    call put
    j 1b
2:  la t0, line
    beq s7, t0, 1b
    addi s7, s7, -1
    la a0, rub_out
    call print
    j 1b
3:  la t0, line
    beq s7, t0, 1b
    addi s7, s7, -1
    la a0, rub_out
    call print
    j 3b
4:  sb zero, 0(s7)
    call new_line
    ld ra, 8(sp)
    addi sp, sp, 16
    ret

skip_blanks:
    li t1, ' '
1:  lbu t0, 0(s1)
    bne t0, t1, 2f
    addi s1, s1, 1
    j 1b
2:  ret

# a0: whether nothing but blanks is left of the line.
end_of_line:
    mv t6, ra
    call skip_blanks
    lbu t0, 0(s1)
    seqz a0, t0
    jr t6

# a0: whether the word at s1 is the one at a0.
match:
    mv t2, s1
1:  lbu t0, 0(a0)
    lbu t1, 0(t2)
    beqz t0, 2f
    bne t0, t1, 3f
    addi a0, a0, 1
    addi t2, t2, 1
    j 1b
2:  beqz t1, 4f
    li t0, ' '
    beq t1, t0, 4f
3:  li a0, 0
    ret
4:  li a0, 1
    ret

# a0: the hexadecimal number at s1, with or without 0x; a1: whether there was one, of at most 16 digits.
number:
    mv t6, ra
    call skip_blanks
    lbu t0, 0(s1)
    lbu t1, 1(s1)
    li t2, '0'
    bne t0, t2, 1f
    li t2, 'x'
    bne t1, t2, 1f
    addi s1, s1, 2
1:  li a0, 0
    li a1, 0
    li t3, 16
2:  lbu t0, 0(s1)
    beqz t0, 5f
    li t1, ' '
    beq t0, t1, 5f
    addi t1, t0, -48            # 0 to 9
    li t2, 10
    bltu t1, t2, 4f
    ori t0, t0, 32
    addi t1, t0, -97            # a to f
    li t2, 6
    bgeu t1, t2, 6f
    addi t1, t1, 10
4:  beqz t3, 6f
    addi t3, t3, -1
    slli a0, a0, 4
    or a0, a0, t1
    li a1, 1
    addi s1, s1, 1
    j 2b
5:  jr t6
6:  li a1, 0
    jr t6

# Prints the string at a0.
print:
    addi sp, sp, -32
    sd ra, 24(sp)
    sd s1, 16(sp)
    mv s1, a0
1:  lbu a0, 0(s1)
    beqz a0, 2f
    addi s1, s1, 1
    call put
    j 1b
2:  ld ra, 24(sp)
    ld s1, 16(sp)
    addi sp, sp, 32
    ret

# Prints the last a1 hexadecimal digits of a0.
print_hex:
    addi sp, sp, -32
    sd ra, 24(sp)
    sd s1, 16(sp)
    sd s2, 8(sp)
    mv s1, a0
    slli s2, a1, 2
1:  addi s2, s2, -4
    srl a0, s1, s2
    andi a0, a0, 15
    addi a0, a0, 48             # 0 to 9
    li t0, 58
    bltu a0, t0, 2f
    addi a0, a0, 7              # A to F
2:  call put
    bnez s2, 1b
    ld ra, 24(sp)
    ld s1, 16(sp)
    ld s2, 8(sp)
    addi sp, sp, 32
    ret

new_line:
    la a0, line_end
    j print

# Sends the byte in a0 when the transmitter has room.
put:
    lbu t0, 5(s0)
    andi t0, t0, 32
    beqz t0, put
    sb a0, 0(s0)
    ret

banner:
    .asciz "\r\nPlantain monitor. The banana ROM is at 4000000: r 4000000 reads it. help lists the commands.\r\n"
prompt_text:
    .asciz "> "
help_text:
    .ascii "r ADDRESS          read a word; rb, rh, rw, rd: 8, 16, 32, 64 bits\r\n"
    .ascii "w ADDRESS VALUE    write a word; wb, wh, ww, wd\r\n"
    .ascii "d ADDRESS [LENGTH] dump bytes, 40 of them or up to 1000\r\n"
    .ascii "quit               end the machine\r\n"
    .asciz "Numbers are hexadecimal. The monitor is at 80000000.\r\n"
unknown_text:
    .asciz "no such command, help lists them\r\n"
usage_text:
    .asciz "r ADDRESS, w ADDRESS VALUE or d ADDRESS [LENGTH up to 1000], in hexadecimal\r\n"
word_help:
    .asciz "help"
word_question:
    .asciz "?"
word_quit:
    .asciz "quit"
word_dump:
    .asciz "d"
hex_prefix:
    .asciz "0x"
gap:
    .asciz " "
line_end:
    .asciz "\r\n"
rub_out:
    .asciz "\b \b"
at_text:
    .asciz " at "
pc_text:
    .asciz ", pc "
cause_names:
    .asciz "instruction address misaligned"
    .asciz "instruction access fault"
    .asciz "illegal instruction"
    .asciz "breakpoint"
    .asciz "load address misaligned"
    .asciz "load access fault"
    .asciz "store address misaligned"
    .asciz "store access fault"
other_cause:
    .asciz "trap"
row:
    .space 17
line:
    .space 80
    .align 4
    .space 1024
stack_end:
