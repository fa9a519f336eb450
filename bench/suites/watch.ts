// Save to visible: from the moment a device's file is written until a loop of devmem in the running Linux prints what the new
// definition says. The guest's own time to start devmem is part of it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, inTurn } from "../benchmark.ts";
import { median } from "../statistics.ts";
import { BOOT_TIMEOUT, LOGIN } from "./boot.ts";

const SAVES = 20;
const TIMEOUT = 30;
const ADDRESS = 0x500_0000;
/** Between saves, so that each is one of its own and comes at another moment of the loop. */
const PAUSE_MS = 150;

const device = (id: number): string => `import { defineDevice, reg32, rw } from "plantain/device";

export const bench = defineDevice({
  type: "bench",
  compatible: "acme,bench",
  mmio: { size: 0x100 },
  irqs: ["on"],
  registers: { ID: reg32(0, { access: "constant", reset: ${id} }), CTRL: reg32(4, { fields: { ON: rw(0) } }) },
  setup: ({ regs: { CTRL }, irq }) => irq.on(() => CTRL.ON),
});
`;

export const watch: Benchmark = {
  name: "watch",
  title: "Saving a device's file, with -watch, to the new device's value in the running Linux",
  unit: "ms",
  better: "lower",
  cases: [{ name: "", title: `median of ${SAVES} saves, devmem in a loop`, goal: { value: 300 } }],
  bootsLinux: true,
  async run(bench) {
    const folder = mkdtempSync(join(tmpdir(), "plantain-bench-"));
    const file = join(folder, "device.ts");
    try {
      const emulators = bench.emulators.filter(({ kind }) => kind === "ours");
      const watched = ["-device", `${file.replaceAll(",", ",,")},addr=${ADDRESS}`, "-watch"];
      const { ours } = await inTurn(
        bench,
        "watch",
        async (emulator) => {
          writeFileSync(file, device(0));
          await using machine = emulator.start([...bench.guest.articleOptions(), ...watched]);
          const login = await machine.until(LOGIN, BOOT_TIMEOUT);
          machine.type("root\r");
          const prompt = await machine.until(/# /, TIMEOUT, login.end);
          machine.type(`while :; do devmem ${ADDRESS}; done\r`);
          let { end } = await machine.until(/^0x00000000\r?\n/m, TIMEOUT, prompt.end);
          const times: number[] = [];
          for (let id = 1; id <= SAVES; id++) {
            await sleep(PAUSE_MS + 7 * id);
            const saved = machine.now;
            writeFileSync(file, device(id));
            const seen = await machine.until(
              RegExp(`0x${id.toString(16).toUpperCase().padStart(8, "0")}`),
              TIMEOUT,
              end,
            );
            times.push((seen.at - saved) * 1000);
            end = seen.end;
          }
          return median(times);
        },
        { emulators },
      );
      bench.record("", { ours, qemu: [], ratio: "none" });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
