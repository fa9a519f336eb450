// Traces of a machine whose program uses a device: registers, timer, interrupt, DMA.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DefinedDevice, defineDevice, pulse, reg32, ro, rw, w1c } from "../device/index.ts";
import { devicesBelow } from "../device/reset.ts";
import { assemble } from "../isa/assembler.ts";
import type { Machine } from "../machine/machine.ts";
import { bareMachine } from "../machine/machine-for-tests.ts";
import { openTrace } from "../node/trace-file.ts";
import type { TraceRecord } from "./record.ts";
import { traceDevices, traceTo } from "./trace.ts";

const gadget = defineDevice({
  type: "gadget",
  mmio: { size: 0x100 },
  irqs: ["done"],
  registers: {
    CTRL: reg32(0, { fields: { START: pulse(0), MODE: rw([3, 2], { COPY: 0, FILL: 1 }) } }),
    STATUS: reg32(4, { fields: { BUSY: ro(0), DONE: w1c(1) } }),
  },
  setup({ regs: { STATUS }, on, irq, timer, dma }) {
    irq.done(() => STATUS.DONE);
    const end = timer("end", () => {
      dma.write32(0x8000_1000, 0x1234_5678);
      STATUS.BUSY = false;
      STATUS.DONE = true;
    });
    on.write("CTRL.START", () => {
      STATUS.BUSY = true;
      end.after(1000);
    });
  },
});

const PROGRAM = `
  li s0, 0x5000000
  li t0, 5
  sw t0, 0(s0)
  wait: lw t1, 4(s0)
  andi t1, t1, 2
  beqz t1, wait
  sw t1, 4(s0)
  sw t1, 0x80(s0)
  end: j end`;

let machine: Machine;
let folder: string;
beforeEach(() => {
  machine = bareMachine();
  machine.add(gadget, { addr: 0x500_0000, id: "g0" });
  machine.memory.writeBytes(0x8000_0000n, assemble(PROGRAM, { base: 0x8000_0000n }).bytes);
  folder = mkdtempSync(join(tmpdir(), "plantain-trace-"));
});
afterEach(() => {
  machine.close();
  rmSync(folder, { recursive: true });
});

const run = async () => {
  machine.events.timer("end", () => machine.stop()).at(1e5);
  await machine.run();
};

async function traced(format: "text" | "jsonl" | "vcd" | "perfetto"): Promise<string> {
  let text = "";
  const trace = traceTo(machine, "g0", format, (more) => {
    text += more;
  });
  await run();
  trace.end();
  return text;
}

test("text: each line has time, device, names, old and new values, and where the guest was", async () => {
  const lines = (await traced("text")).trimEnd().split("\n");
  const told = lines.map((line) => line.replace(/^\d+\.\d{9} /, ""));
  expect(told[0]).toBe("g0: write CTRL = 0x00000005 {MODE: COPY -> FILL} [hart 0 0x80000008]");
  expect(told[1]).toBe("g0: now STATUS = 0x00000001 {BUSY: false -> true, DONE: false} [hart 0 0x80000008]");
  expect(told[2]).toBe("g0: read STATUS -> 0x00000001 {BUSY: true, DONE: false} [hart 0 0x8000000c]");
  const rest = told.filter((line) => !line.includes("read STATUS"));
  expect(rest.slice(2)).toEqual([
    "g0: timer end",
    "g0: dma write 4 bytes at 0x80001000: 78 56 34 12",
    "g0: now STATUS = 0x00000002 {BUSY: true -> false, DONE: false -> true}",
    "g0: irq done raised",
    "g0: write STATUS = 0x00000002 {BUSY: false, DONE: true -> false} [hart 0 0x80000018]",
    "g0: irq done lowered [hart 0 0x80000018]",
    "g0: write 0x80 = 0x00000002 [hart 0 0x8000001c]",
    expect.stringMatching(/^g0: guest error: write of 0x2 .* \[hart 0 0x8000001c\]$/),
  ]);
});

test("JSON lines", async () => {
  const records = (await traced("jsonl"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(records[0]).toMatchObject({
    kind: "access",
    device: "g0",
    write: true,
    hart: 0,
    pc: "0x80000008",
    value: "0x5",
  });
  expect(records[0].registers).toEqual([
    { name: "CTRL", old: "0x0", new: "0x4", fields: { MODE: "FILL" }, before: { MODE: "COPY" } },
  ]);
  expect(records.find(({ kind }) => kind === "dma")).toMatchObject({ address: "0x80001000", bytes: "78563412" });
  expect(records.find(({ kind }) => kind === "irq")).toMatchObject({ irq: "done", level: true });
});

test("VCD: signals with first values, time that goes forward", async () => {
  const text = await traced("vcd");
  const codes = new Map(
    [...text.matchAll(/^\$var wire \d+ (\S+) (\S+) \$end$/gm)].map(([, code, name]) => [name, code]),
  );
  expect([...codes.keys()]).toEqual(["CTRL", "CTRL.MODE", "STATUS", "STATUS.BUSY", "STATUS.DONE", "irq.done"]);
  const times = [...text.matchAll(/^#(\d+)$/gm)].map(([, time]) => Number(time));
  expect(times.length).toBeGreaterThan(3);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  const levels = (name: string) => [
    ...text.matchAll(RegExp(`^([01])${codes.get(name)!.replace(/\W/g, "\\$&")}$`, "gm")),
  ];
  expect(levels("STATUS.BUSY").map(([, bit]) => bit)).toEqual(["0", "1", "0"]);
  expect(levels("irq.done").map(([, bit]) => bit)).toEqual(["0", "1", "0"]);
  expect(text).toContain(`b1 ${codes.get("CTRL.MODE")}\n`);
});

test("Perfetto", async () => {
  const events = JSON.parse(await traced("perfetto"));
  expect(events[0]).toEqual({ name: "process_name", ph: "M", pid: 1, tid: 0, args: { name: "g0" } });
  expect(events[1]).toMatchObject({
    name: "write CTRL",
    ph: "i",
    tid: 1,
    args: { value: "0x5", CTRL: { MODE: "FILL" } },
  });
  const levels = events.filter(({ ph }: { ph: string }) => ph === "C").map(({ args }: { args: object }) => args);
  expect(levels).toEqual([{ level: 1 }, { level: 0 }]);
});

test("from code, until it is ended; a file", async () => {
  const records: TraceRecord[] = [];
  const trace = traceDevices(machine, "gadget", () => ({ write: (record) => records.push(record) }));
  trace.end();
  const path = join(folder, "out.txt");
  const close = openTrace(machine, { device: "g0", format: "text", path, where: "-trace g0" });
  await run();
  close();
  expect(records).toEqual([]);
  expect(readFileSync(path, "utf8")).toContain("g0: irq done raised\n");
});

test.each([
  ["gadgt", undefined, /^-trace: there is no device "gadgt" \(did you mean "gadget"\?\)$/],
  ["uart1", undefined, /^-trace: there is no device "uart1" \(did you mean "uart0"\?\)$/],
  ["gadget", "no/such/folder", /^-trace: no\/such\/folder cannot be written \(ENOENT\)$/],
])("%s to %s: one line", (device, path, message) => {
  const config = { device, format: "text", where: "-trace", ...(path === undefined ? {} : { path }) } as const;
  expect(() => openTrace(machine, config)).toThrow(message);
});

/** The gadget with other places for its fields, one field less, and a register more. */
const moved = defineDevice({
  type: "gadget",
  mmio: { size: 0x100 },
  irqs: ["done"],
  registers: {
    CTRL: reg32(0, { fields: { START: pulse(0) } }),
    STATUS: reg32(4, { fields: { DONE: w1c(4) } }),
    MORE: reg32(8),
  },
  setup: ({ regs: { STATUS }, irq }) => irq.done(() => STATUS.DONE),
});

test.each(["text", "jsonl", "vcd", "perfetto"] as const)(
  "a swap of the definition shows, and the trace goes on (%s)",
  async (format) => {
    let text = "";
    const trace = traceTo(machine, "g0", format, (more) => {
      text += more;
    });
    machine.events.timer("middle", () => machine.stop()).at(1200);
    await machine.run();
    const [device] = devicesBelow(machine.board.object).filter((each) => each.id === "g0");
    const before = text.length;
    machine.swap(device as DefinedDevice, moved);
    const after = text.slice(before);
    machine.memory.writeBytes(0x500_0008n, Uint8Array.of(1, 0, 0, 0));
    const later = text.slice(before + after.length);
    trace.end();
    if (format === "text") {
      expect(after).toContain("g0: another definition: ");
      expect(later).toContain("write MORE = 0x00000001");
    }
    if (format === "jsonl") {
      expect(JSON.parse(after.split("\n")[0]!)).toMatchObject({
        kind: "swap",
        device: "g0",
        registers: { MORE: "0x0" },
      });
      expect(JSON.parse(later).registers[0].name).toBe("MORE");
    }
    if (format === "perfetto") expect(JSON.parse(text).at(-2).name).toBe("another definition");
    if (format === "vcd") {
      const code = (name: string) => RegExp(`\\$var wire \\d+ (\\S+) ${name} \\$end`).exec(text)![1]!;
      // MODE and BUSY are gone; what is left of the others is at its new place.
      expect(after).toContain(`bx ${code("CTRL.MODE")}\n`);
      expect(after).toContain(`x${code("STATUS.BUSY")}\n`);
      expect(later).toBe("");
    }
  },
);
