// DMA, and accesses that the author refuses.

import { describe, expect, test, vi } from "vitest";
import { testbench } from "../../testing/testbench.ts";
import { BusError, defineDevice, reg32 } from "../index.ts";

const mmio = { size: 0x100 };

describe("DMA", () => {
  const device = defineDevice({
    type: "dma",
    mmio,
    registers: { GO: reg32(0x0, { access: "pulse" }), ERRORS: reg32(0x4), SELF: reg32(0x8) },
    state: () => ({ seen: [] as unknown[] }),
    setup({ on, dma, regs: { ERRORS }, state }) {
      const R = 0x8000_0000;
      const steps: (() => unknown)[] = [
        () => dma.write(R, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
        () => [dma.read8(R), dma.read16(R), dma.read32(BigInt(R)), dma.read64(R + 1)],
        () => {
          dma.write8(R + 16, 0xff);
          dma.write16(R + 18, 0x1234);
          dma.write32(R + 20, 0xdead_beef);
          dma.write64(R + 24, 0x0123_4567_89ab_cdefn);
          return [...dma.read(R + 16, 16)];
        },
        () => {
          dma.copy(R + 2, R, 6);
          dma.fill(R + 8, 3, 9);
          return [...dma.read(R, 12)];
        },
        () => dma.write32(0x1000, 1),
        () => dma.read(R, 2 ** 50),
        () => dma.copy(0, R, 2 ** 20),
        () => dma.read(2n ** 64n - 1n, 2),
        () => dma.write32(0x10_0000_0008, 1),
      ];
      on.write("GO", (n) => {
        try {
          state.seen.push(steps[n]!());
        } catch (error) {
          if (!(error instanceof BusError)) throw error;
          ERRORS.value++;
          state.seen.push(`${error.kind} 0x${error.address.toString(16)}`);
        }
      });
      on.write("SELF", () => state.seen.push("self"));
    },
  });

  test("bytes, words, copies, fills; a BusError where nothing is, before anything is allocated", () => {
    const d = testbench(device);
    for (let n = 0; n < 8; n++) d.write("GO", n);
    expect(d.state.seen).toEqual([
      undefined,
      [1, 0x0201, 0x0403_0201, 0x0908_0706_0504_0302n & 0x00ff_ffff_ffff_ffffn],
      [0xff, 0, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01],
      [1, 2, 1, 2, 3, 4, 5, 6, 9, 9, 9, 0],
      "decode 0x1000",
      "decode 0x80010000",
      "decode 0x80010000",
      "decode 0xffffffffffffffff",
    ]);
    expect(d.registers.ERRORS.value).toBe(4);
  });

  test("a device does not reach itself from a callback: the bus refuses", () => {
    const d = testbench(device);
    d.write("GO", 8);
    expect(d.state.seen).toEqual(["access 0x1000000008"]);
  });

  test("copies overlapping ranges as they were, larger than a piece", () => {
    const copier = defineDevice({
      type: "copier",
      mmio,
      registers: { TO: reg32(0x0), FROM: reg32(0x4), LEN: reg32(0x8) },
      setup: ({ on, dma, regs: { TO, FROM, LEN } }) => on.write("LEN", () => dma.copy(TO.value, FROM.value, LEN.value)),
    });
    for (const [to, from] of [
      [0x8000_1000, 0x8000_0000],
      [0x8000_0000, 0x8000_1000],
    ] as const) {
      const d = testbench(copier, {}, { ram: 0x4_0000 });
      for (let i = 0; i < d.ram.bytes.length; i++) d.ram.bytes[i] = (i * 7) ^ (i >> 8);
      const expected = d.ram.bytes.slice();
      expected.copyWithin(to - 0x8000_0000, from - 0x8000_0000, from - 0x8000_0000 + 0x3_0001);
      d.write("TO", to);
      d.write("FROM", from);
      d.write("LEN", 0x3_0001);
      expect(d.ram.bytes.every((byte, i) => byte === expected[i])).toBe(true);
    }
  });

  test("writes to RAM are announced", () => {
    const d = testbench(device);
    const written = vi.fn();
    d.device.host.memory.onRamWrite((region, offset, length) => written(region.name, offset, length));
    d.write("GO", 0);
    expect(written.mock.calls).toEqual([["ram", 0, 8]]);
  });
});

test("a BusError that the author throws refuses the access", () => {
  const d = testbench(
    defineDevice({
      type: "refuses",
      mmio: {
        size: 0x10,
        read(offset) {
          if (offset === 8) throw new BusError(offset, "access");
          return 1;
        },
      },
      registers: { A: reg32(0x0) },
      setup({ on }) {
        on.write("A", (value) => {
          if (value === 1) throw new BusError(0, "access");
        });
      },
    }),
  );
  expect(() => d.write("A", 1)).toThrow("access fault");
  expect(() => d.read32(8)).toThrow("access fault");
  d.write("A", 2);
  expect([d.read("A"), d.read32(4)]).toEqual([2, 1]);
});
