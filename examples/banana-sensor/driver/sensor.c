// SPDX-License-Identifier: MIT
/*
 * Uses banana-sensor from user space, through the /dev/uio0 that banana_sensor_uio.c makes of it:
 *
 *   sensor poll TIMES MILLIWATTS         heats, polls, and prints each sample: microseconds since it began, then
 *                                        thousandths of a degree
 *   sensor keep TIMES LIMIT MILLIWATTS   heats until the interrupt says that it is warmer than LIMIT (thousandths of a
 *                                        degree), lets it cool by a degree, and so on
 *   sensor wait MILLISECONDS LIMIT       waits for that interrupt, without heating, so long
 *
 * No C library: `plantain program` compiles it without one. banana-sensor-regs.h is made from the device's definition.
 */

#include "banana-sensor-regs.h"

#define DEVICE "/dev/uio0"
#define PAGE 4096
#define PERIOD_US 10000
#define HYSTERESIS 1000 /* thousandths of a degree */
#define LONGEST_MS 60000

/* --- Linux: include/uapi/asm-generic/unistd.h and others */

#define SYS_openat 56
#define SYS_read 63
#define SYS_write 64
#define SYS_ppoll 73
#define SYS_exit_group 94
#define SYS_nanosleep 101
#define SYS_clock_gettime 113
#define SYS_mmap 222

#define AT_FDCWD -100
#define O_RDWR 2
#define O_SYNC 04010000
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 1
#define CLOCK_MONOTONIC 1
#define POLLIN 1

struct timespec {
	long seconds;
	long nanoseconds;
};

struct pollfd {
	int fd;
	short events;
	short revents;
};

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
	return a0;
}

/* --- words and numbers */

static char line[256];
static unsigned int used;

static void text(const char *words)
{
	while (*words && used < sizeof(line))
		line[used++] = *words++;
}

static void number(long value)
{
	char digits[20];
	unsigned int count = 0;
	unsigned long rest = value < 0 ? -(unsigned long)value : (unsigned long)value;

	if (value < 0)
		text("-");
	do {
		digits[count++] = '0' + rest % 10;
		rest /= 10;
	} while (rest);
	while (count && used < sizeof(line))
		line[used++] = digits[--count];
}

static void print(int file)
{
	text("\n");
	call(SYS_write, file, (long)line, used, 0, 0, 0);
	used = 0;
}

__attribute__((noreturn)) static void fail(const char *what, long error)
{
	text("sensor: ");
	text(what);
	if (error) {
		text(": error ");
		number(-error);
	}
	print(2);
	for (;;)
		call(SYS_exit_group, 1, 0, 0, 0, 0, 0);
}

static int parse(const char *digits)
{
	int sign = *digits == '-' ? -1 : 1;
	long value = 0;

	digits += sign < 0;
	if (!*digits)
		fail("a number is missing", 0);
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9' || value > 100000000)
			fail("this is no number that the sensor takes", 0);
		value = value * 10 + (*digits - '0');
	}
	return sign * (int)value;
}

/* --- time */

static long now_us(void)
{
	struct timespec time;

	call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&time, 0, 0, 0, 0);
	return time.seconds * 1000000 + time.nanoseconds / 1000;
}

static void sleep_us(long us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	call(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

/* --- the chip */

static volatile unsigned char *chip;
static int uio;

static unsigned int get(unsigned int offset)
{
	return *(volatile unsigned int *)(chip + offset);
}

static void set(unsigned int offset, unsigned int value)
{
	*(volatile unsigned int *)(chip + offset) = value;
}

static int temperature(void)
{
	return (int)get(BANANA_SENSOR_TEMP);
}

static void start(unsigned int milliwatts)
{
	set(BANANA_SENSOR_PERIOD, PERIOD_US);
	set(BANANA_SENSOR_STATUS, BANANA_SENSOR_STATUS_READY | BANANA_SENSOR_STATUS_ABOVE);
	set(BANANA_SENSOR_HEATER, milliwatts);
	set(BANANA_SENSOR_CTRL, BANANA_SENSOR_CTRL_ENABLE); /* IRQ_EN is the driver's */
}

/* The next sample. Asks often enough to miss none. */
static int sample(void)
{
	set(BANANA_SENSOR_STATUS, BANANA_SENSOR_STATUS_READY);
	while (!(get(BANANA_SENSOR_STATUS) & BANANA_SENSOR_STATUS_READY))
		sleep_us(PERIOD_US / 4);
	return temperature();
}

/* Asks for the next interrupt. */
static void want_alarm(void)
{
	int one = 1;
	long written = call(SYS_write, uio, (long)&one, sizeof(one), 0, 0, 0);

	if (written != sizeof(one))
		fail("writing to " DEVICE, written);
}

/* Waits for the interrupt; how many there have been since the driver was loaded, 0 if none comes in time. */
static int alarm(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
	struct pollfd poll = { uio, POLLIN, 0 };
	int count;
	long result = call(SYS_ppoll, (long)&poll, 1, (long)&time, 0, 0, 0);

	if (result == 0)
		return 0;
	if (result < 0)
		fail("waiting for " DEVICE, result);
	result = call(SYS_read, uio, (long)&count, sizeof(count), 0, 0, 0);
	if (result != sizeof(count))
		fail("reading from " DEVICE, result);
	return count;
}

static void poll_samples(int times, unsigned int milliwatts)
{
	long began = now_us();

	start(milliwatts);
	while (times-- > 0) {
		int degrees = sample();

		number(now_us() - began);
		text(" ");
		number(degrees);
		print(1);
	}
}

static void keep_below(int times, int limit, unsigned int milliwatts)
{
	set(BANANA_SENSOR_LIMIT, limit);
	start(milliwatts);
	while (times-- > 0) {
		int count, degrees;

		want_alarm();
		count = alarm(LONGEST_MS);
		if (!count)
			fail("it does not get that warm", 0);
		degrees = temperature();
		set(BANANA_SENSOR_HEATER, 0);
		text("interrupt ");
		number(count);
		text(" at ");
		number(degrees);
		do {
			degrees = sample();
		} while (degrees > limit - HYSTERESIS);
		/* Only now: a sample above the limit would have set it again. */
		set(BANANA_SENSOR_STATUS, BANANA_SENSOR_STATUS_ABOVE);
		text(", off until ");
		number(degrees);
		print(1);
		set(BANANA_SENSOR_HEATER, milliwatts);
	}
}

static void wait_for_alarm(long ms, int limit)
{
	set(BANANA_SENSOR_LIMIT, limit);
	start(0);
	want_alarm();
	if (alarm(ms))
		text("interrupt");
	else
		text("no interrupt");
	print(1);
}

static int is(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* The stack has the number of words, then their addresses (RISC-V ELF psABI). */
__attribute__((noreturn, used)) static void run(long *stack)
{
	long count = stack[0];
	char **words = (char **)(stack + 1);
	long mapped;

	uio = call(SYS_openat, AT_FDCWD, (long)DEVICE, O_RDWR | O_SYNC, 0, 0, 0);
	if (uio < 0)
		fail("opening " DEVICE, uio);
	mapped = call(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, uio, 0);
	if (mapped < 0)
		fail("mapping " DEVICE, mapped);
	chip = (volatile unsigned char *)mapped;
	if ((get(BANANA_SENSOR_ID) & BANANA_SENSOR_ID_CHIP) >> 16 != 0xba5e)
		fail(DEVICE " is no banana-sensor", 0);

	if (count == 4 && is(words[1], "poll"))
		poll_samples(parse(words[2]), parse(words[3]));
	else if (count == 5 && is(words[1], "keep"))
		keep_below(parse(words[2]), parse(words[3]), parse(words[4]));
	else if (count == 4 && is(words[1], "wait"))
		wait_for_alarm(parse(words[2]), parse(words[3]));
	else
		fail("expected poll TIMES MILLIWATTS, keep TIMES LIMIT MILLIWATTS, or wait MILLISECONDS LIMIT", 0);
	for (;;)
		call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	".option push\n"
	".option norelax\n"
	"	lla gp, __global_pointer$\n"
	".option pop\n"
	"	mv a0, sp\n"
	"	andi sp, sp, -16\n"
	"	call run\n");
