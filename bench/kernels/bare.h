// The `virt` board as a program in M-mode without an operating system needs it.

#define REGISTER(type, address) (*(volatile type *)(address))
#define UART_DATA REGISTER(unsigned char, 0x10000000UL)
#define FINISHER REGISTER(unsigned int, 0x100000UL)
#define MTIME REGISTER(unsigned long, 0x200bff8UL)

#define FINISH_PASS 0x5555
#define FINISH_FAIL 0x13333

static inline unsigned long retired(void) {
  unsigned long count;
  __asm__ volatile("csrr %0, minstret" : "=r"(count));
  return count;
}

static inline void print(const char *text) {
  while (*text) UART_DATA = *text++;
}

static inline void print_hex(unsigned long value) {
  for (int i = 60; i >= 0; i -= 4) UART_DATA = "0123456789abcdef"[(value >> i) & 15];
}

static inline void print_number(unsigned long value) {
  char digits[24];
  int n = 0;
  do {
    digits[n++] = '0' + value % 10;
    value /= 10;
  } while (value);
  while (n) UART_DATA = digits[--n];
}

static inline void finish(unsigned int code) {
  FINISHER = code;
  for (;;) __asm__ volatile("wfi");
}
