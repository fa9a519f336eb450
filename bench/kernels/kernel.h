// What every kernel has: run() does the work and returns a checksum, so that a wrong emulator is found out.

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#define NOINLINE __attribute__((noinline))

u64 run(void);

// The same pseudo-random numbers everywhere: a 64-bit linear congruential generator, the upper bits of it.
static u64 seed = 12345;

static inline u32 rnd(void) {
  seed = seed * 6364136223846793005UL + 1442695040888963407UL;
  return (u32)(seed >> 33);
}
