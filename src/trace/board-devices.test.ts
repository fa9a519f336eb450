// The board's own devices in traces: register names, fields, interrupt edges, as text; nothing is left behind.

import { afterEach, beforeEach, expect, test } from "vitest";
import type { Machine } from "../machine/machine.ts";
import { bareMachine } from "../machine/machine-for-tests.ts";
import { UserError } from "../util/user-error.ts";
import { traceTo } from "./trace.ts";

const UART = 0x1000_0000;
const RTC = 0x10_1000;
const CLINT = 0x200_0000;
const PLIC = 0xc00_0000;
const VIRTIO = 0x1000_1000;
const FINISHER = 0x10_0000;

let machine: Machine;
beforeEach(() => {
  machine = bareMachine();
});
afterEach(() => machine.close());

/** The lines of a trace while `run` runs, without their times. */
function traced(name: string, run: () => void): string[] {
  let text = "";
  const trace = traceTo(machine, name, "text", (more) => {
    text += more;
  });
  run();
  trace.end();
  run();
  return text
    .trimEnd()
    .replaceAll(/^\d+\.\d{9} /gm, "")
    .split("\n");
}

const load = (address: number, size: 1 | 2 | 4 | 8) => machine.memory.load(address, size);
const store = (address: number, size: 1 | 2 | 4 | 8, value: number) => machine.memory.store(address, size, value, 0);

test("UART: one offset with several names, by direction and by the divisor's access bit; edges", () => {
  const lines = traced("uart0", () => {
    store(UART + 3, 1, 0x83);
    store(UART, 1, 12);
    store(UART + 3, 1, 0x03);
    store(UART + 2, 1, 0x07);
    store(UART + 1, 1, 0x02);
    load(UART + 2, 1);
    store(UART + 1, 1, 0);
    load(UART, 1);
  });
  expect(lines).toEqual([
    "uart0: write LCR = 0x83 {WLS: 3, STB: false, PEN: false, EPS: false, STICK: false, BREAK: false, DLAB: true}",
    "uart0: write DLL = 0x0c",
    "uart0: write LCR = 0x03 {WLS: 3, STB: false, PEN: false, EPS: false, STICK: false, BREAK: false, DLAB: true -> false}",
    "uart0: write FCR = 0x07 {ENABLE: true, CLEAR_RX: true, CLEAR_TX: true, DMA: false, TRIGGER: 0}",
    "uart0: write IER = 0x02 {RECEIVED: false, THR_EMPTY: true, LINE_STATUS: false, MODEM_STATUS: false}",
    "uart0: irq irq0 raised",
    "uart0: read IIR -> 0xc2 {INTERRUPT: THR_EMPTY, FIFOS: 3}",
    "uart0: irq irq0 lowered",
    "uart0: write IER = 0x00 {RECEIVED: false, THR_EMPTY: true -> false, LINE_STATUS: false, MODEM_STATUS: false}",
    "uart0: read RBR -> 0x00",
  ]);
});

test("PLIC: sources, contexts, and the lines to the harts", () => {
  store(UART + 1, 1, 0x02);
  const lines = traced("plic", () => {
    store(PLIC + 4 * 10, 4, 1);
    store(PLIC + 0x2080, 4, 1 << 10);
    load(PLIC + 0x20_1004, 4);
    store(PLIC + 0x20_1004, 4, 10);
    load(PLIC + 0x3000, 4);
    load(PLIC, 1);
  });
  expect(lines).toEqual([
    "plic: write PRIORITY[10] = 0x00000001",
    "plic: write ENABLE[1].SOURCES[0] = 0x00000400",
    "plic: irq S0 raised",
    "plic: read CONTEXT[1].CLAIM -> 0x0000000a",
    "plic: irq S0 lowered",
    "plic: write CONTEXT[1].CLAIM = 0x0000000a",
    "plic: irq S0 raised",
    "plic: read 0x3000 -> 0x00000000",
    expect.stringMatching(/^plic: guest error: read at reserved offset 0x3000$/),
    "plic: refused read of 1 byte at 0x0 (PRIORITY[0]): the region takes 4 bytes at a time",
  ]);
});

test("CLINT: both parts of it by one name; 64 bits at once", () => {
  const lines = traced("clint", () => {
    store(CLINT, 4, 1);
    machine.memory.store(CLINT + 0x4000, 8, 0x1234, 1);
  });
  expect(lines).toEqual([
    "clint.swi: write msip[0] = 0x00000001 {MSIP: true}",
    "clint.swi: irq msip0 raised",
    "clint.mtimer: write mtimecmp[0] = 0x0000000100001234",
    "clint.mtimer: irq mtip0 lowered",
  ]);
});

test("RTC, test finisher, virtio transport", () => {
  expect(
    traced("goldfish-rtc", () => {
      store(RTC + 0x0c, 4, 0);
      store(RTC + 0x10, 4, 1);
      store(RTC + 0x08, 4, 1);
      store(RTC + 0x1c, 4, 1);
    }),
  ).toEqual([
    "rtc: write ALARM_HIGH = 0x00000000",
    "rtc: write IRQ_ENABLED = 0x00000001 {ENABLED: true}",
    "rtc: write ALARM_LOW = 0x00000001",
    "rtc: irq irq0 raised",
    "rtc: write CLEAR_INTERRUPT = 0x00000001",
    "rtc: irq irq0 lowered",
  ]);
  expect(traced("test", () => store(FINISHER, 4, 0x3_3333))).toEqual([
    "test: write FINISH = 0x00033333 {REQUEST: FAIL, STATUS: 3}",
  ]);
  const virtio = traced("virtio-mmio[0]", () => {
    load(VIRTIO, 4);
    store(VIRTIO + 0x70, 4, 3);
  });
  expect(virtio[0]).toBe("virtio-mmio[0]: read MagicValue -> 0x74726976");
  expect(virtio[1]).toMatch(/^virtio-mmio\[0\]: write Status = 0x00000003 \{ACKNOWLEDGE: true, DRIVER: true, /);
});

test("in VCD what nobody has seen is unknown; in JSON values are there", () => {
  let text = "";
  const trace = traceTo(machine, "rtc", "vcd", (more) => {
    text += more;
  });
  store(RTC + 0x10, 4, 1);
  trace.end();
  const [, code] = /^\$var wire 32 (\S+) IRQ_ENABLED \$end$/m.exec(text)!;
  expect(text).toContain(`bx ${code}\n`);
  expect(text).toContain(`b1 ${code}\n`);
  let json = "";
  const lines = traceTo(machine, "rtc", "jsonl", (more) => {
    json += more;
  });
  store(RTC + 0x10, 4, 0);
  lines.end();
  expect(JSON.parse(json)).toMatchObject({
    kind: "access",
    device: "rtc",
    registers: [{ name: "IRQ_ENABLED", new: "0x0", fields: { ENABLED: false } }],
  });
});

test("all of a type are told apart; a name that is none", () => {
  const lines = traced("virtio-mmio", () => {
    load(VIRTIO, 4);
    load(VIRTIO + 0x7000, 4);
  });
  expect(lines.map((line) => line.split(":")[0])).toEqual(["virtio-mmio[0]", "virtio-mmio[7]"]);
  expect(() => traced("plik", () => {})).toThrow(new UserError('there is no device "plik" (did you mean "plic"?)'));
  expect(() => traced("frobnicator", () => {})).toThrow(/there is no device "frobnicator" \(there is .*uart0/);
});
