// N accesses to one device register, in a loop of three instructions. TARGET chooses the register; WRITTEN makes it writes.

#include "bare.h"

#if TARGET == 1 // banana ROM, chip id
typedef unsigned int Word;
#define ADDRESS 0x4000000UL
#define EXPECTED(value) ((value) == 0xba000001u)
#elif TARGET == 2 // virtio transport 0, magic value
typedef unsigned int Word;
#define ADDRESS 0x10001000UL
#define EXPECTED(value) ((value) == 0x74726976u)
#elif TARGET == 3 // PLIC, priority of source 1
typedef unsigned int Word;
#define ADDRESS 0xc000004UL
#define EXPECTED(value) ((value) == 0)
#elif TARGET == 4 // UART, line status: the transmitter is empty
typedef unsigned char Word;
#define ADDRESS 0x10000005UL
#define EXPECTED(value) (((value) & 0x60) == 0x60)
#elif TARGET == 5 // UART, scratch register
typedef unsigned char Word;
#define ADDRESS 0x10000007UL
#define WRITTEN n
#define EXPECTED(value) ((value) == 1)
#endif

void main(void) {
  Word last = REGISTER(Word, ADDRESS);
  print("go\n");
#ifdef WRITTEN
  for (unsigned long n = N; n; n--) REGISTER(Word, ADDRESS) = WRITTEN;
  last = REGISTER(Word, ADDRESS);
#else
  for (unsigned long n = N; n; n--) last = REGISTER(Word, ADDRESS);
#endif
  print("end\n");
  finish(EXPECTED(last) ? FINISH_PASS : FINISH_FAIL);
}
