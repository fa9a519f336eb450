// The register map as data, as a C header and as Markdown.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  bank,
  cHeader,
  constant,
  decodeRegister,
  defineDevice,
  edge,
  expandRegisters,
  prop,
  pulse,
  reg8,
  reg32,
  reg64,
  registerDoc,
  regs,
  reserved,
  ro,
  rw,
  sticky,
  w1c,
} from "./index.ts";

const device = defineDevice({
  type: "acme,banana-2",
  description: "a chip",
  compatible: "acme,banana",
  irqs: ["done", edge("tick")],
  properties: { speed: prop(10, "how fast"), size: prop.size(4096n), line: prop.chardev("out") },
  mmio: { size: 0x1000 },
  registers: {
    STATUS: reg32(0x4, {
      doc: "what | it does",
      fields: { BUSY: ro(0, "works"), DONE: sticky(w1c(1)), R: reserved([31, 8]) },
    }),
    CTRL: reg32(0x0, {
      fields: { GO: pulse(0), MODE: rw([3, 2], { COPY: 0, FILL: 1 }, "what to do") },
      reset: { MODE: "FILL" },
    }),
    SRC: reg64(0x8, { fields: { ADDR: rw([47, 12]), TOP: rw(63) } }),
    ID: reg8(0x10, { access: "constant", reset: 0x2a, doc: "says */ who it is" }),
    DATA: regs(8, 4, reg32(0x40)),
    CH: bank(2, 0x20, 0x100, { CTRL: reg32(0x0, { fields: { V: constant([7, 4], 5) } }), Q: regs(2, 4, reg32(0x8)) }),
  },
  setup: ({ irq }) => irq.done(() => false),
});

test("the map is plain data, sorted by offset", () => {
  const map = device.registerMap;
  expect(JSON.parse(JSON.stringify(map))).toEqual(map);
  expect(structuredClone(map)).toEqual(map);
  expect(map.registers.map(({ name }) => name)).toEqual(["CTRL", "STATUS", "SRC", "ID", "DATA"]);
  expect(map.registers[0]).toEqual({
    name: "CTRL",
    offset: 0,
    width: 32,
    access: "mixed",
    reset: "0x4",
    sticky: false,
    fields: [
      { name: "GO", msb: 0, lsb: 0, access: "pulse", reset: 0, sticky: false },
      {
        name: "MODE",
        msb: 3,
        lsb: 2,
        access: "rw",
        reset: 1,
        sticky: false,
        values: { COPY: 0, FILL: 1 },
        doc: "what to do",
      },
    ],
  });
  expect(map.irqs).toEqual([
    { name: "done", trigger: "level" },
    { name: "tick", trigger: "edge" },
  ]);
  expect(map.properties).toEqual([
    { name: "speed", type: "uint32", default: 10, description: "how fast" },
    { name: "size", type: "size", default: "4096" },
    { name: "line", type: "chardev", description: "out" },
  ]);
});

test("registers one by one", () => {
  expect(expandRegisters(device.registerMap).map(({ name, offset }) => `${offset.toString(16)} ${name}`)).toEqual([
    "0 CTRL",
    "4 STATUS",
    "8 SRC",
    "10 ID",
    ...Array.from({ length: 8 }, (_, i) => `${(0x40 + 4 * i).toString(16)} DATA[${i}]`),
    "100 CH[0].CTRL",
    "108 CH[0].Q[0]",
    "10c CH[0].Q[1]",
    "120 CH[1].CTRL",
    "128 CH[1].Q[0]",
    "12c CH[1].Q[1]",
  ]);
});

test("values taken apart", () => {
  const [ctrl, status, src] = device.registerMap.registers;
  expect(decodeRegister(ctrl!, 0b0101)).toEqual({ MODE: "FILL" });
  expect(decodeRegister(ctrl!, 0b1000)).toEqual({ MODE: 2 });
  expect(decodeRegister(status!, 0xffff_ff02)).toEqual({ BUSY: false, DONE: true });
  expect(decodeRegister(src!, 0x8000_8000_0000_1fffn)).toEqual({ ADDR: 0x8_0000_0001, TOP: true });
});

test("Markdown", () => {
  const text = registerDoc(device.registerMap);
  for (const line of [
    "| 0x04 | `STATUS` | 32 | mixed | 0x0 | what \\| it does |",
    "| 0x40 + n × 0x04 | `DATA[0..7]` | 32 | rw | 0x0 |  |",
    "| 3:2 | `MODE` | rw | `FILL` | what to do; 0 `COPY`, 1 `FILL` |",
    "| 1 | `DONE` | w1c, sticky | 0x00 |  |",
    "2 × `CH` at 0x100, one every 0x20 bytes; offsets from the beginning of each:",
    "| 0x08 + n × 0x04 | `CH[0..1].Q[0..1]` | 32 | rw | 0x0 |  |",
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(registerDoc(defineDevice({ type: "bare", mmio: { size: 4 } }).registerMap)).toBe(
    "No registers are declared.\n",
  );
});

const compiler = ["gcc", "riscv64-linux-gnu-gcc"].find((name) => spawnSync(name, ["--version"]).status === 0);

test("a C header", () => {
  const lines = cHeader(device.registerMap).split("\n");
  for (const line of [
    "#define ACME_BANANA_2_MAX_REGISTER               0x12c /* for regmap */",
    "#define ACME_BANANA_2_CTRL                       0x00",
    "#define ACME_BANANA_2_CTRL_GO                    BIT(0) /* pulse */",
    "#define ACME_BANANA_2_CTRL_MODE                  GENMASK(3, 2) /* rw: what to do */",
    "#define ACME_BANANA_2_CTRL_MODE_FILL             1",
    "#define ACME_BANANA_2_SRC_ADDR                   GENMASK_ULL(47, 12) /* rw */",
    "#define ACME_BANANA_2_ID                         0x10 /* 8 bits: says * / who it is */",
    "#define ACME_BANANA_2_DATA(n)                    (0x40 + (n) * 0x04)",
    "#define ACME_BANANA_2_CH_Q(b, n)                 (0x108 + (b) * 0x20 + (n) * 0x04)",
  ]) {
    expect(lines).toContain(line);
  }
});

test.skipIf(compiler === undefined)(
  "the C header compiles to what it says (needs gcc or riscv64-linux-gnu-gcc)",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "plantain-header-"));
    try {
      writeFileSync(join(folder, "regs.h"), cHeader(device.registerMap));
      const checks = [
        ["ACME_BANANA_2_CTRL_MODE", "0xcUL"],
        ["ACME_BANANA_2_SRC_ADDR", "0xfffffffff000ULL"],
        ["ACME_BANANA_2_SRC_TOP", "0x8000000000000000ULL"],
        ["ACME_BANANA_2_DATA(7)", "0x5c"],
        ["ACME_BANANA_2_CH_Q(1, 1)", "0x12c"],
        ["ACME_BANANA_2_CH_COUNT", "2"],
      ];
      const source = `#include "regs.h"\n${checks.map(([name, value]) => `_Static_assert(${name} == ${value}, "${name}");`).join("\n")}\n`;
      writeFileSync(join(folder, "check.c"), source);
      execFileSync(compiler!, ["-Wall", "-Wextra", "-Werror", "-c", "check.c", "-o", "check.o"], {
        cwd: folder,
        stdio: "pipe",
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
