// The only program of the guest besides the kernels: process 1. Says which paging Linux chose, runs /k0 to /k4 as far as they
// are there, each framed by lines that are timed from outside; then touches nearly all memory and says so. The machine is
// ended from outside.

#include "linux.h"

enum { OPENAT = 56, READ = 63, MOUNT = 40, CLONE = 220, EXECVE = 221, WAIT4 = 260, MMAP = 222, SYSINFO = 179, PPOLL = 73 };
enum { AT_FDCWD = -100, SIGCHLD = 17, PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22 };

#define MIB (1L << 20)
#define PAGE 4096

// struct sysinfo (man 2 sysinfo)
struct sysinfo {
  long uptime;
  unsigned long loads[3], total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
  char rest[64];
};

// The line of /proc/cpuinfo that begins with "mmu".
static void print_paging(void) {
  static char text[4096];
  syscall5(MOUNT, (long)"proc", (long)"/proc", (long)"proc", 0, 0);
  long file = syscall5(OPENAT, AT_FDCWD, (long)"/proc/cpuinfo", 0, 0, 0);
  long length = syscall5(READ, file, (long)text, sizeof text - 1, 0, 0);
  for (long i = 0; i + 3 < length; i++) {
    if (text[i] != 'm' || text[i + 1] != 'm' || text[i + 2] != 'u') continue;
    long end = i;
    while (end < length && text[end] != '\n') end++;
    print_bytes(text + i, end - i);
    break;
  }
  print("\n");
}

static void run(char *path) {
  char *arguments[] = {path, 0}, *environment[] = {0};
  print("begin ");
  print(path + 1);
  print("\n");
  long child = syscall5(CLONE, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    syscall5(EXECVE, (long)path, (long)arguments, (long)environment, 0, 0);
    exit_process(127);
  }
  int status = 0;
  syscall5(WAIT4, child, (long)&status, 0, 0, 0);
  print(status == 0 ? "end " : "failed ");
  print(path + 1);
  print("\n");
}

static void touch_memory(void) {
  struct sysinfo info;
  syscall5(SYSINFO, (long)&info, 0, 0, 0, 0);
  long size = (long)info.free_ram - 12 * MIB; // some must be left for Linux
  char *memory = (char *)syscall5(MMAP, 0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1);
  for (long i = 0; size > 0 && i < size; i += PAGE) memory[i] = 1;
}

void main(void) {
  static char path[] = "/k0";
  print("\n");
  print_paging();
  for (; path[2] <= '4'; path[2]++) {
    if (syscall5(OPENAT, AT_FDCWD, (long)path, 0, 0, 0) >= 0) run(path);
  }
  print("kernels done\n");
  touch_memory();
  print("memory touched\n");
  for (;;) syscall5(PPOLL, 0, 0, 0, 0, 0);
}
