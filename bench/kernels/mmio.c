// N reads of one device register, in a loop of three instructions. TARGET chooses the register.

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
#endif

void main(void) {
  Word last = REGISTER(Word, ADDRESS);
  print("go\n");
  for (unsigned long n = N; n; n--) last = REGISTER(Word, ADDRESS);
  print("end\n");
  finish(EXPECTED(last) ? FINISH_PASS : FINISH_FAIL);
}
