// K4, memory: copies of 64 MiB and walks over it in strides, up to one page per access: page walks and TLB misses.

#include "kernel.h"

static u64 src[8 << 20], dst[8 << 20];

NOINLINE static void copy(u64 *to, const u64 *from, long n) {
  for (long i = 0; i < n; i++) {
    to[i] = from[i];
    __asm__ volatile("" ::: "memory"); // one load and one store each, not memcpy
  }
}

NOINLINE static u64 stride(const u64 *p, long n, long step) {
  u64 s = 0;
  for (long k = 0; k < step; k++)
    for (long i = k; i < n; i += step) s += p[i];
  return s;
}

NOINLINE static u64 bytes(const u8 *p, long n) {
  u64 s = 0;
  for (long i = 0; i < n; i++) s = s * 31 + p[i];
  return s;
}

NOINLINE u64 run(void) {
  long n = 8 << 20;
  for (long i = 0; i < n; i++) src[i] = i * 0x9E3779B97F4A7C15UL;
  u64 s = 0;
  for (int round = 0; round < 4; round++) {
    copy(dst, src, n);
    s += dst[round * 1000];
    s += stride(dst, n, 8);
    copy(src, dst, n);
    s += stride(src, n, 64);
  }
  s += bytes((u8 *)src, n * 8);
  s += stride(src, n, 520);
  return s;
}
