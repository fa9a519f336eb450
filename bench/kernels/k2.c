// K2, calls: quicksort that compares through a function pointer, and fib(32): calls, returns, indirect calls.

#include "kernel.h"

#define N 1000000

static int numbers[N];

NOINLINE static int compare(const void *a, const void *b) {
  int x = *(int *)a, y = *(int *)b;
  return (x > y) - (x < y);
}

static inline void swap(char *a, char *b) {
  int t = *(int *)a;
  *(int *)a = *(int *)b;
  *(int *)b = t;
}

// Sorts ints from `low` to `high`, the last one: median of three, insertion sort for short ranges.
NOINLINE static void quicksort(char *low, char *high, int (*c)(const void *, const void *)) {
  while (high - low >= 32) {
    char *middle = low + (((high - low) >> 3) << 2);
    if (c(middle, low) < 0) swap(middle, low);
    if (c(high, middle) < 0) {
      swap(high, middle);
      if (c(middle, low) < 0) swap(middle, low);
    }
    int pivot = *(int *)middle;
    char *i = low, *j = high;
    do {
      while (c(i, &pivot) < 0) i += 4;
      while (c(&pivot, j) < 0) j -= 4;
      if (i <= j) {
        swap(i, j);
        i += 4;
        j -= 4;
      }
    } while (i <= j);
    if (j - low < high - i) {
      quicksort(low, j, c);
      low = i;
    } else {
      quicksort(i, high, c);
      high = j;
    }
  }
  for (char *p = low + 4; p <= high; p += 4) {
    int v = *(int *)p;
    char *q = p;
    while (q > low && c(&v, q - 4) < 0) {
      *(int *)q = *(int *)(q - 4);
      q -= 4;
    }
    *(int *)q = v;
  }
}

NOINLINE static long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

NOINLINE u64 run(void) {
  u64 sum = 0;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < N; i++) numbers[i] = (int)rnd();
    quicksort((char *)numbers, (char *)(numbers + N - 1), compare);
    for (int i = 1; i < N; i++)
      if (numbers[i] < numbers[i - 1]) sum += 1UL << 60;
    sum = sum * 31 + numbers[N / 2];
  }
  return sum + fib(32);
}
