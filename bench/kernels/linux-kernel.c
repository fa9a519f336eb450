// Runs a kernel as a process of Linux.

#include "kernel.h"
#include "linux.h"

void main(void) {
  u64 sum = run();
  char line[] = "sum 0000000000000000\n";
  for (int i = 0; i < 16; i++) line[4 + i] = "0123456789abcdef"[(sum >> (60 - 4 * i)) & 15];
  print(line);
  exit_process(0);
}
