// What the device kit costs: accesses per second to a device made by defineDevice, beside one written by hand.
// Two ways: calls of the address space (what of it is the model's), and loads of a guest's loop (what a driver gets).
//
//   node bench/device-kit.ts

import { defineDevice, pulse, reg32, reg64, ro, rw, w1c } from "../src/device/index.ts";
import { AddressSpace } from "../src/memory/address-space.ts";
import { MemoryRegion } from "../src/memory/region.ts";
import { Engine } from "../src/riscv/engine.ts";
import { testbench } from "../src/testing/testbench.ts";

const SECONDS = 0.5;
const BASE = 0x400_0000;
const RAM = 0x8000_0000;

const device = defineDevice({
  type: "measured",
  irqs: ["done"],
  mmio: { size: 0x100, unmapped: 0xdeadbeef },
  registers: {
    CTRL: reg32(0x00, { fields: { START: pulse(0), IRQ_EN: rw(1), MODE: rw([3, 2], { COPY: 0, FILL: 1 }) } }),
    STATUS: reg32(0x04, { fields: { BUSY: ro(0), DONE: w1c(1), ERROR: w1c(2) } }),
    SRC: reg64(0x08),
    LEN: reg32(0x18),
    COUNT: reg32(0x1c),
  },
  setup({ regs: { CTRL, STATUS, COUNT }, on, irq }) {
    irq.done(() => CTRL.IRQ_EN && (STATUS.DONE || STATUS.ERROR));
    on.write("CTRL.START", () => {
      STATUS.BUSY = true;
    });
    on.read("COUNT", () => (COUNT.value + 1) >>> 0);
  },
});

const raw = defineDevice({
  type: "raw",
  mmio: { size: 0x100, read: (offset) => (offset === 0 ? 0xba00_0001 : 0xdead_beef) },
});

const byHand = MemoryRegion.io("by hand", 0x100, {
  read: (offset) => (offset === 0 ? 0xba00_0001 : 0xdead_beef),
  write: () => {},
});

/** Calls per second of `run(n)`, which makes n of them. */
function rate(run: (n: number) => void): number {
  run(200_000);
  let best = 0;
  for (let round = 0; round < 3; round++) {
    let calls = 0;
    const begin = performance.now();
    while (performance.now() - begin < SECONDS * 1000) {
      run(100_000);
      calls += 100_000;
    }
    best = Math.max(best, calls / (performance.now() - begin) / 1000);
  }
  return best;
}

function report(what: string, millions: number): void {
  console.log(`${what.padEnd(58)} ${millions.toFixed(1).padStart(7)} M/s`);
}

/** An address space with regions from BASE on, each 0x1000 after the one before. */
function spaceOf(...regions: readonly MemoryRegion[]): AddressSpace {
  const root = MemoryRegion.container("system", 1n << 64n);
  for (const [i, region] of regions.entries()) {
    region.container?.removeSubregion(region);
    root.addSubregion(BigInt(BASE + i * 0x1000), region);
  }
  return new AddressSpace(root, "memory");
}

/** Millions of 32-bit loads per second of a guest that does nothing else. */
function guestRate(space: AddressSpace, address: number): number {
  const engine = new Engine({ harts: 1, ramBytes: 1 << 20, space, time: () => 0n });
  const ram = engine.allocateRam(1 << 20);
  const region = MemoryRegion.ram("ram", ram);
  space.root.addSubregion(BigInt(RAM), region);
  const view = new DataView(ram.buffer, ram.byteOffset);
  const lui = 0x0000_0537 | (address & 0xffff_f000);
  const load = 0x0005_2583 | ((address & 0xfff) << 20);
  // lui a0; then eight times lw a1, offset(a0) and a jump back.
  const code = [lui, ...new Array<number>(8).fill(load), 0xfe1f_f06f];
  for (const [i, word] of code.entries()) view.setUint32(4 * i, word >>> 0, true);
  const hart = engine.harts[0]!;
  hart.reset(BigInt(RAM));
  const millions = rate((n) => void hart.run(Math.round((n * 9) / 8)));
  space.root.removeSubregion(region);
  return millions;
}

const d = testbench(device);
const space = spaceOf(d.device.mmio[0]!, byHand, testbench(raw).device.mmio[0]!);
const reads = (address: number, size: 1 | 2 | 4 | 8) =>
  rate((n) => {
    for (let i = 0; i < n; i++) space.load(address, size);
  });
const writes = (address: number, size: 1 | 2 | 4 | 8, value: number) =>
  rate((n) => {
    for (let i = 0; i < n; i++) space.store(address, size, value, 0);
  });

console.log("calls of the address space");
report("  by hand: read", reads(BASE + 0x1000, 4));
report("  read of STATUS (no effects)", reads(BASE + 0x04, 4));
report("  read of a byte of it", reads(BASE + 0x05, 1));
report("  read of SRC, 64 bits", reads(BASE + 0x08, 8));
report("  read of COUNT (on.read, then conditions)", reads(BASE + 0x1c, 4));
report("  read by mmio.read", reads(BASE + 0x2000, 4));
report("  read of nothing (unmapped)", reads(BASE + 0x80, 4));
report("  by hand: write", writes(BASE + 0x1000, 4, 1));
report("  write of LEN (plain, then conditions)", writes(BASE + 0x18, 4, 1));
report("  write of STATUS (w1c, then conditions)", writes(BASE + 0x04, 4, 2));
report("  write of CTRL.START (on.write, then conditions)", writes(BASE + 0x00, 4, 3));
const stop = d.device.observe({ access: () => {} });
report("  read of STATUS while somebody listens", reads(BASE + 0x04, 4));
stop();
report("  read of STATUS when nobody listens any more", reads(BASE + 0x04, 4));

console.log("loads of a guest (interpreter, one hart)");
report("  by hand", guestRate(space, BASE + 0x1000));
report("  STATUS", guestRate(space, BASE + 0x04));
report("  mmio.read", guestRate(space, BASE + 0x2000));
report("  COUNT (on.read, then conditions)", guestRate(space, BASE + 0x1c));

const begin = performance.now();
const BENCHES = 2000;
for (let i = 0; i < BENCHES; i++) {
  const bench = testbench(device);
  bench.write("CTRL", { START: true });
  bench.run(10);
}
console.log(`a testbench made and used: ${(((performance.now() - begin) / BENCHES) * 1000).toFixed(0)} µs`);
