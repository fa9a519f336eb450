# A program without an operating system that lives on the banana UART: it types back in capitals what it receives. Both
# directions run by interrupts, through the PLIC and the machine-mode trap, with a ring buffer each; when there is nothing to
# do the hart sleeps. The lines `count`, `burst` and `quit` are commands.
#
# The board starts it at 0x80000000 in machine mode: -bios none -kernel. docs/examples/banana-uart.md shows how to run it.
#
# s0 holds the UART and s1 the data for good. The trap handler alone reads RX and takes bytes out of the ring for sending,
# the main program does the rest, and closes the door (mstatus.MIE) while it handles what both use.

.option norelax                 # for GNU as: what stands here is what there is

.equ UART, 0x5000000            # as on the command line: addr=0x5000000,irq=40
.equ IRQ, 40

.equ RX, 0x00
.equ TX, 0x04
.equ STATUS, 0x08
.equ   TX_FULL, 1 << 1
.equ   TX_EMPTY, 1 << 2
.equ   OVERRUN, 1 << 3
.equ   RX_LEVEL_SHIFT, 8
.equ   RX_LEVEL_MASK, 0x1f
.equ CTRL, 0x0c
.equ   RX_IE, 1 << 0
.equ   TX_IE, 1 << 1
.equ TRIGGER, 0x10
.equ   TRIGGER_TX_SHIFT, 8

# Half a FIFO of 16 has come, or a quarter is left to go: time enough to act, and few interrupts.
.equ RX_TRIGGER, 8
.equ TX_TRIGGER, 4

.equ PLIC_PRIORITY, 0xc000000 + 4 * IRQ
.equ PLIC_ENABLE, 0xc002000 + IRQ / 32 * 4      # context 0: hart 0 in M mode
.equ PLIC_THRESHOLD, 0xc200000
.equ PLIC_CLAIM, 0xc200004

.equ FINISHER, 0x100000
.equ   PASS, 0x5555
.equ   FAIL, 0x3333

.equ MIE_MEIE, 1 << 11
.equ MSTATUS_MIE, 1 << 3
.equ MACHINE_EXTERNAL, 11

.equ XON, 0x11                  # Ctrl-Q
.equ XOFF, 0x13                 # Ctrl-S

.equ RING, 256                  # bytes of each ring; a power of two
.equ CHUNK, 64                  # bytes that the main program takes at once
.equ LINE, 16                   # of a line so much is kept: more than a command has

# Offsets from `data`, which s1 holds. The counters first: %0 to %6 in `report`.
.equ interrupts, 0
.equ rx_interrupts, 4
.equ tx_interrupts, 8
.equ received, 12
.equ sent, 16
.equ lost, 20
.equ overruns, 24
.equ rx_head, 28                # these only grow; their low bits are places in the rings
.equ rx_tail, 32
.equ tx_head, 36
.equ tx_tail, 40
.equ line_length, 44
.equ throttled, 48              # a byte: the ring is full, and RX_IE off until there is room
.equ stopped, 49                # a byte: the other end has sent XOFF
.equ DATA, 52

start:
    csrr t0, mhartid
    bnez t0, park
    la sp, stack_end
    la s1, data
    li s0, UART
    la t0, trap
    csrw mtvec, t0

    li t0, PLIC_PRIORITY
    li t1, 1
    sw t1, 0(t0)
    li t0, PLIC_ENABLE
    li t1, 1 << (IRQ % 32)
    sw t1, 0(t0)
    li t0, PLIC_THRESHOLD
    sw zero, 0(t0)

    li t0, TX_TRIGGER << TRIGGER_TX_SHIFT | RX_TRIGGER
    sw t0, TRIGGER(s0)
    li t0, RX_IE
    sw t0, CTRL(s0)
    li t0, MIE_MEIE
    csrw mie, t0
    csrsi mstatus, MSTATUS_MIE

    la a0, banner
    call print

# Takes what has come, up to CHUNK bytes, answers with it in capitals, and runs commands where a line ends.
main:
    csrci mstatus, MSTATUS_MIE
    lw t0, rx_head(s1)
    lw t1, rx_tail(s1)
    bne t0, t1, 1f
    wfi                         # a pending interrupt ends it with the door closed as well
    csrsi mstatus, MSTATUS_MIE
    j main
1:  lbu t3, throttled(s1)       # there is room in the ring now: RX may interrupt again
    beqz t3, 2f
    sb zero, throttled(s1)
    lw t3, CTRL(s0)
    ori t3, t3, RX_IE
    sw t3, CTRL(s0)
2:  la s2, out                  # where the answer grows
    li s3, CHUNK
    la t4, rx_ring
3:  andi t3, t1, RING - 1
    add t3, t3, t4
    lbu a0, 0(t3)
    addiw t1, t1, 1
    addi s3, s3, -1
    li t3, '\r'
    beq a0, t3, end_of_line
    li t3, '\n'
    beq a0, t3, end_of_line
    lw t5, line_length(s1)
    li t3, LINE
    bgeu t5, t3, 4f
    la t3, line
    add t3, t3, t5
    sb a0, 0(t3)
    addi t5, t5, 1
    sw t5, line_length(s1)
4:  li t3, 'a'
    bltu a0, t3, 5f
    li t3, 'z'
    bgtu a0, t3, 5f
    addi a0, a0, 'A' - 'a'
5:  sb a0, 0(s2)
    addi s2, s2, 1
    beq t0, t1, 6f
    bnez s3, 3b
6:  sw t1, rx_tail(s1)
    csrsi mstatus, MSTATUS_MIE
    call answer
    j main

end_of_line:
    sw t1, rx_tail(s1)
    csrsi mstatus, MSTATUS_MIE
    li t3, '\r'
    sb t3, 0(s2)
    li t3, '\n'
    sb t3, 1(s2)
    addi s2, s2, 2
    call answer
    lw s3, line_length(s1)
    sw zero, line_length(s1)
    la a0, word_count
    call is_line
    bnez a0, count
    la a0, word_burst
    call is_line
    bnez a0, burst
    la a0, word_quit
    call is_line
    bnez a0, quit
    j main

# Sends what stands between `out` and s2.
answer:
    la a0, out
    sub a1, s2, a0
    j send

# Whether the line of s3 bytes is the word at a0: a0 is 1 then.
is_line:
    la t0, line
    add t1, t0, s3
1:  lbu t2, 0(a0)
    beqz t2, 2f
    beq t0, t1, 3f
    lbu t3, 0(t0)
    bne t2, t3, 3f
    addi a0, a0, 1
    addi t0, t0, 1
    j 1b
2:  bne t0, t1, 3f
    li a0, 1
    ret
3:  li a0, 0
    ret

# --- commands

# What has happened so far, as a sentence.
count:
    la s2, out
    la s3, report
1:  lbu t0, 0(s3)
    addi s3, s3, 1
    beqz t0, 3f
    li t1, '%'
    beq t0, t1, 2f
    sb t0, 0(s2)
    addi s2, s2, 1
    j 1b
2:  lbu t0, 0(s3)               # after %: which counter
    addi s3, s3, 1
    addi t0, t0, -'0'
    slli t0, t0, 2
    add t0, t0, s1
    lwu a0, 0(t0)
    call decimal
    j 1b
3:  call answer
    j main

# Writes a0 in decimal to s2.
decimal:
    mv t0, sp                   # the digits from the last one on
    addi sp, sp, -16
    li t1, 10
1:  remu t2, a0, t1
    divu a0, a0, t1
    addi t2, t2, '0'
    addi t0, t0, -1
    sb t2, 0(t0)
    bnez a0, 1b
    addi t3, sp, 16
2:  lbu t2, 0(t0)
    sb t2, 0(s2)
    addi t0, t0, 1
    addi s2, s2, 1
    bltu t0, t3, 2b
    addi sp, sp, 16
    ret

# Writes 40 bytes to TX as fast as it can, whether there is room or not, as a careless driver would.
burst:
    call flush
    li t0, 40
    li t1, '!'
1:  sw t1, TX(s0)
    addi t0, t0, -1
    bnez t0, 1b
    call flush
    lw t0, STATUS(s0)
    andi t0, t0, OVERRUN
    beqz t0, main
    sw t0, STATUS(s0)           # a 1 acknowledges
    lw t0, overruns(s1)
    addi t0, t0, 1
    sw t0, overruns(s1)
    la a0, overrun_text
    call print
    j main

quit:
    la a0, bye
    call print
    call flush
    li t0, FINISHER
    li t1, PASS
    sw t1, 0(t0)
park:
    wfi
    j park

# --- sending

# Puts the text at a0 into the ring for sending.
print:
    mv a1, a0
1:  lbu t0, 0(a1)
    addi a1, a1, 1
    bnez t0, 1b
    sub a1, a1, a0
    addi a1, a1, -1

# Puts a1 bytes from a0 into the ring for sending, all at once, as soon as there is room for them; not more than RING.
send:
    csrci mstatus, MSTATUS_MIE
    lw t0, tx_head(s1)
    lw t1, tx_tail(s1)
    subw t2, t0, t1
    li t3, RING
    sub t2, t3, t2
    bgeu t2, a1, 1f
    wfi                         # until the handler has taken some
    csrsi mstatus, MSTATUS_MIE
    j send
1:  beqz a1, 3f
    la t4, tx_ring
2:  lbu t2, 0(a0)
    andi t3, t0, RING - 1
    add t3, t3, t4
    sb t2, 0(t3)
    addi a0, a0, 1
    addiw t0, t0, 1
    addi a1, a1, -1
    bnez a1, 2b
    sw t0, tx_head(s1)
    lbu t2, stopped(s1)
    bnez t2, 3f
    lw t2, CTRL(s0)
    ori t2, t2, TX_IE
    sw t2, CTRL(s0)
3:  csrsi mstatus, MSTATUS_MIE
    ret

# Waits until everything has been sent.
flush:
    csrci mstatus, MSTATUS_MIE
    lw t0, tx_head(s1)
    lw t1, tx_tail(s1)
    beq t0, t1, 1f
    wfi
    csrsi mstatus, MSTATUS_MIE
    j flush
1:  csrsi mstatus, MSTATUS_MIE
2:  lw t0, STATUS(s0)           # the ring is empty, the FIFO may not be
    andi t0, t0, TX_EMPTY
    beqz t0, 2b
    ret

# --- the trap handler

    .align 2                    # mtvec: direct mode
trap:
    addi sp, sp, -64
    sd t0, 0(sp)
    sd t1, 8(sp)
    sd t2, 16(sp)
    sd t3, 24(sp)
    sd t4, 32(sp)
    sd t5, 40(sp)
    sd t6, 48(sp)
    csrr t0, mcause
    bgez t0, unexpected         # an exception, no interrupt
    andi t0, t0, 63
    li t1, MACHINE_EXTERNAL
    bne t0, t1, unexpected
    li t6, PLIC_CLAIM
    lw t0, 0(t6)
    li t1, IRQ
    bne t0, t1, unexpected
    lw t0, interrupts(s1)
    addi t0, t0, 1
    sw t0, interrupts(s1)

# Receives as many bytes as RX_LEVEL says. What comes meanwhile interrupts again.
    lw t0, STATUS(s0)
    srli t0, t0, RX_LEVEL_SHIFT
    andi t0, t0, RX_LEVEL_MASK
    beqz t0, transmit
    lbu t1, throttled(s1)
    bnez t1, transmit
    lw t1, rx_interrupts(s1)
    addi t1, t1, 1
    sw t1, rx_interrupts(s1)
    lw t5, rx_head(s1)
1:  lw t1, rx_tail(s1)
    subw t1, t5, t1
    li t2, RING
    bltu t1, t2, 2f             # t1 less t2: there is room
    lbu t3, stopped(s1)
    bnez t3, 2f
# No room, and none until the main program has got on: let the FIFO fill, so that the other end must wait.
    li t1, 1
    sb t1, throttled(s1)
    lw t1, CTRL(s0)
    andi t1, t1, ~RX_IE
    sw t1, CTRL(s0)
    j 6f
2:  lw t3, RX(s0)
    li t4, XOFF
    beq t3, t4, 4f
    li t4, XON
    beq t3, t4, 5f
    bltu t1, t2, 3f
# The other end has stopped us and yet sends more than we can keep: what is not XON is lost, or we would never see XON.
    lw t3, lost(s1)
    addi t3, t3, 1
    sw t3, lost(s1)
    j 7f
3:  andi t1, t5, RING - 1
    la t4, rx_ring
    add t4, t4, t1
    sb t3, 0(t4)
    addiw t5, t5, 1
    lw t1, received(s1)
    addi t1, t1, 1
    sw t1, received(s1)
    j 7f
4:  li t3, 1
    sb t3, stopped(s1)
    lw t3, CTRL(s0)
    andi t3, t3, ~TX_IE
    sw t3, CTRL(s0)
    j 7f
5:  sb zero, stopped(s1)
    lw t3, CTRL(s0)
    ori t3, t3, TX_IE
    sw t3, CTRL(s0)
7:  addi t0, t0, -1
    bnez t0, 1b
6:  sw t5, rx_head(s1)

# Fills the transmitter's FIFO if it asked for it.
transmit:
    lw t0, CTRL(s0)
    andi t1, t0, TX_IE
    beqz t1, done
    lw t1, tx_tail(s1)
    lw t2, tx_head(s1)
    li t3, 0                    # bytes that go
1:  beq t1, t2, 2f
    lw t4, STATUS(s0)
    andi t4, t4, TX_FULL
    bnez t4, 3f
    andi t4, t1, RING - 1
    la t5, tx_ring
    add t5, t5, t4
    lbu t4, 0(t5)
    sw t4, TX(s0)
    addiw t1, t1, 1
    addi t3, t3, 1
    j 1b
2:  andi t0, t0, ~TX_IE         # the ring is empty
    sw t0, CTRL(s0)
3:  sw t1, tx_tail(s1)
    beqz t3, done
    lw t4, sent(s1)
    add t4, t4, t3
    sw t4, sent(s1)
    lw t4, tx_interrupts(s1)
    addi t4, t4, 1
    sw t4, tx_interrupts(s1)

done:
    li t0, IRQ
    sw t0, 0(t6)                # complete
    ld t0, 0(sp)
    ld t1, 8(sp)
    ld t2, 16(sp)
    ld t3, 24(sp)
    ld t4, 32(sp)
    ld t5, 40(sp)
    ld t6, 48(sp)
    addi sp, sp, 64
    mret

# Ends the machine with the cause as its status.
unexpected:
    csrr t0, mcause
    andi t0, t0, 0xff
    slli t0, t0, 16
    li t1, FAIL
    or t0, t0, t1
    li t1, FINISHER
    sw t0, 0(t1)
    j park

# --- texts

banner:         .asciz "The banana UART shouts back. Lines: count, burst, quit; Ctrl-S stops it, Ctrl-Q lets it go on.\r\n"
word_count:     .asciz "count"
word_burst:     .asciz "burst"
word_quit:      .asciz "quit"
overrun_text:   .asciz "\r\noverrun\r\n"
bye:            .asciz "bye\r\n"
# %0 is the first counter of `data`, %1 the second, ...
report:         .asciz "%0 interrupts: %1 with bytes received, %2 with bytes sent; %3 bytes in, %4 out; %5 lost; %6 overruns\r\n"

# --- data: s1 is at `data`

    .align 3
data:           .space DATA
line:           .space LINE
rx_ring:        .space RING
tx_ring:        .space RING
out:            .space RING
    .align 4
stack:          .space 512
stack_end:
