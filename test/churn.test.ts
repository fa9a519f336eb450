// Linux with code that comes and goes: modules that are loaded and unloaded, processes that are short. Nothing of ours grows,
// and nothing becomes slower. `npm run test:long` does it for an hour (PLANTAIN_LONG_MINUTES), and reports the speed.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { RegionCache } from "../src/jit/tier1.ts";
import { boot } from "../src/node/boot.ts";
import { buildModule } from "../src/node/guest/build-module.ts";
import { describeWithKernelBuild } from "./guest.ts";

const long = process.env["PLANTAIN_LONG_TESTS"] === "1";
const MINUTES = Number(process.env["PLANTAIN_LONG_MINUTES"] ?? 60);
/** Rounds before and after things must be as they stay. */
const WARM_UP = long ? 40 : 2;
const ROUNDS = long ? 10 : 1;

/** Hot from its first call on: what it computes tells whether it is the code that was loaded. */
const MODULE = `#include <linux/module.h>
static unsigned int rounds = 100000;
module_param(rounds, uint, 0);
static noinline u32 mix(u32 a, u32 b) { a ^= b << 7; a *= 2654435761u; return a ^ (a >> 15); }
static int __init churn_init(void)
{
	u32 a = 1, i;
	for (i = 0; i < rounds; i++) a = mix(a, i);
	pr_info("churn %u\\n", a);
	return 0;
}
static void __exit churn_exit(void) { }
module_init(churn_init);
module_exit(churn_exit);
MODULE_LICENSE("GPL");
`;

/** The same in TypeScript. */
function mixed(rounds: number): number {
  let a = 1;
  for (let i = 0; i < rounds; i++) {
    a = Math.imul(a ^ (i << 7), 2654435761);
    a ^= a >>> 15;
  }
  return a >>> 0;
}

const ROUND = `dmesg -c > /dev/null
for i in 1 2 3 4; do insmod /tmp/churn.ko rounds=10000$i && rmmod churn || echo failed; done
for i in 1 2 3 4 5 6 7 8 9 10; do /bin/busybox true; sh -c 'exit 3'; [ $? = 3 ] || echo failed; done
find /proc /sys -maxdepth 2 2> /dev/null | sort | tail -1 > /dev/null; dmesg | grep -o 'churn [0-9]*'`
  .split("\n")
  .join("; ");

describeWithKernelBuild("code that comes and goes in Linux", () => {
  test(
    `modules and processes: nothing grows${long ? ` in ${MINUTES} minutes` : ""}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "plantain-churn-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      writeFileSync(join(folder, "churn.c"), MODULE);
      writeFileSync(join(folder, "Makefile"), "obj-m := churn.o\n");
      await using vm = await boot({ files: { "/tmp/churn.ko": await buildModule(folder) } });
      setFlagsFromString("--expose-gc");
      const collect = runInNewContext("gc") as () => void;

      const { engine } = vm.machine;
      const cache = engine.tier1;
      if (!(cache instanceof RegionCache)) throw new Error("this machine does not translate");
      const expected = `${[1, 2, 3, 4].map((n) => `churn ${mixed(100_000 + n)}`).join("\n")}\n`;
      const round = async () => {
        const { output } = await vm.console.run(ROUND, { timeout: 600_000 });
        expect(output.replaceAll("\r", "")).toBe(expected);
      };
      const look = () => {
        collect();
        const { rss, heapUsed } = process.memoryUsage();
        return { slots: engine.table.length, modules: cache.modules, regions: cache.regions, rss, heapUsed };
      };
      /** Instructions per CPU second of this process, over some rounds. */
      const measured = async (rounds: number): Promise<number> => {
        const instructions = engine.harts[0]!.instret;
        const { user, system } = process.cpuUsage();
        for (let n = 0; n < rounds; n++) await round();
        const spent = process.cpuUsage();
        return Number(engine.harts[0]!.instret - instructions) / (spent.user + spent.system - user - system);
      };

      await vm.console.run("dmesg -n 1");
      for (let n = 0; n < WARM_UP; n++) await round();
      const before = look();
      const first = await measured(ROUNDS);
      for (const end = Date.now() + MINUTES * 60_000; long && Date.now() < end; ) await round();
      const last = await measured(ROUNDS);
      const after = look();

      if (long) {
        const report = { before, after, installed: cache.installed, first, last };
        process.stdout.write(
          `Instructions in a microsecond of CPU, and sizes: ${JSON.stringify(report, undefined, 1)}\n`,
        );
      }
      expect(cache.codeSize).toBeLessThanOrEqual(24 << 20);
      expect(after.modules).toBeLessThan(6000);
      expect(after.slots).toBeLessThan(before.slots + (long ? 20_000 : 2000));
      expect(after.heapUsed).toBeLessThan(before.heapUsed + (32 << 20));
      // V8 keeps machine code for a while, and what was translated may reach its budget only now.
      expect(after.rss).toBeLessThan(before.rss + (256 << 20));
    },
    long ? (MINUTES + 10) * 60_000 : undefined,
  );
});
