// Linux system calls of RISC-V (asm-generic/unistd.h) for programs without a C library: any RISC-V compiler can build them.

static inline long syscall5(long number, long a, long b, long c, long d, long e) {
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7) : "memory");
  return a0;
}

static inline void print_bytes(const char *bytes, long length) { syscall5(64, 1, (long)bytes, length, 0, 0); }

static inline void print(const char *text) {
  long length = 0;
  while (text[length]) length++;
  print_bytes(text, length);
}

static inline void exit_process(int status) { syscall5(93, status, 0, 0, 0, 0); }

// The stack of a new process is aligned as C wants it; the linker addresses small data by gp, once it is set.
void main(void);
__asm__(".globl _start\n"
        "_start:\n"
        "  .option push\n"
        "  .option norelax\n"
        "  la gp, __global_pointer$\n"
        "  .option pop\n"
        "  call main\n");
