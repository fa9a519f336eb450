// Runs a kernel on the bare board. "go" and "sum" frame the work for whoever watches the console from outside.

#include "bare.h"
#include "kernel.h"

void main(void) {
  print("go\n");
  u64 time = MTIME, instructions = retired();
  u64 sum = run();
  instructions = retired() - instructions;
  time = MTIME - time;
  print("sum ");
  print_hex(sum);
  print(" ticks ");
  print_number(time);
  print(" instructions ");
  print_number(instructions);
  print("\n");
  finish(FINISH_PASS);
}
