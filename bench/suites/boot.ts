// Boot to login with the article's command line: from the start of the process to the prompt. The network's DHCP lease is part
// of it.

import { type Benchmark, inTurn } from "../benchmark.ts";

export const LOGIN = /login: /;
/** Seconds that a boot may take. */
export const BOOT_TIMEOUT = 300;

export const boot: Benchmark = {
  name: "boot",
  title: "Boot to the login prompt, the article's command line",
  unit: "s",
  better: "lower",
  // At most 0.7 of QEMU's time.
  cases: [{ name: "", title: "start of the process to login:", goal: { ratio: 1 / 0.7 } }],
  bootsLinux: true,
  async run(bench) {
    const options = bench.guest.articleOptions();
    const { ours, qemu } = await inTurn(bench, "boot", async (emulator) => {
      await using machine = emulator.start(options);
      return (await machine.until(LOGIN, BOOT_TIMEOUT)).at;
    });
    bench.record("", { ours, qemu });
  },
};
