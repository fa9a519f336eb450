/*
 * Executes RISC-V floating-point instructions on operands from stdin, for oracle.test.ts. Built for RISC-V Linux and
 * run by an emulator that is not ours. Everything is a little-endian 64-bit word.
 *
 * A batch: instruction | rounding mode << 32 | (destination is an x register) << 40, the number of operand triples, the
 * triples. The instruction reads f10 or x10 (both hold the first operand), f11 and f12, and writes f10 or x10. The
 * answer to a triple is the result and the exceptions. An illegal instruction ends the program with status 3.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_illegal(int signal_number)
{
    (void)signal_number;
    _exit(3);
}

int main(void)
{
    uint32_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t head[2], in[3], out[2];

    if (code == MAP_FAILED)
        return 1;
    signal(SIGILL, on_illegal);
    while (fread(head, sizeof head, 1, stdin) == 1) {
        uint64_t rounding = (head[0] >> 32) & 7;
        int integer = (head[0] >> 40) & 1;

        code[0] = (uint32_t)head[0];
        code[1] = 0x00008067; /* ret */
        __builtin___clear_cache((char *)code, (char *)(code + 2));
        for (uint64_t i = 0; i < head[1]; i++) {
            uint64_t f, x;

            if (fread(in, sizeof in, 1, stdin) != 1)
                return 1;
            asm volatile("fmv.d.x fa0, %[a]\n"
                         "fmv.d.x fa1, %[b]\n"
                         "fmv.d.x fa2, %[c]\n"
                         "mv a0, %[a]\n"
                         "fsrm %[rounding]\n"
                         "fsflags zero\n"
                         "jalr %[code]\n"
                         "frflags %[flags]\n"
                         "fmv.x.d %[f], fa0\n"
                         "mv %[x], a0\n"
                         : [flags] "=&r"(out[1]), [f] "=&r"(f), [x] "=&r"(x)
                         : [a] "r"(in[0]), [b] "r"(in[1]), [c] "r"(in[2]), [rounding] "r"(rounding), [code] "r"(code)
                         : "ra", "a0", "fa0", "fa1", "fa2", "memory");
            out[0] = integer ? x : f;
            fwrite(out, sizeof out, 1, stdout);
        }
    }
    return 0;
}
