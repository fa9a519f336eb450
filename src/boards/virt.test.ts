import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { type Device, SysBusDevice, sysBusDeviceType } from "../device/device.ts";
import { decodeFdt } from "../fdt/decode.ts";
import { encodeFdt } from "../fdt/encode.ts";
import { cells, cells64, FdtNode } from "../fdt/fdt-node.ts";
import { virtioRngType } from "../hw/virtio/virtio-rng.ts";
import type { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import type { QomObject } from "../qom/object.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import { createObject } from "../qom/type-registry.ts";
import { UserError } from "../util/user-error.ts";
import type { BoardContext } from "./board.ts";
import { setUpBoard } from "./board-for-tests.ts";
import { elfForTests } from "./loader/elf-for-tests.ts";
import { virtBoard } from "./virt.ts";
import { virtBoardWith } from "./virt-machine.ts";

const MiB = 1024 * 1024;

function expectUserError(run: () => unknown, message: RegExp): void {
  let error: unknown;
  try {
    run();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toMatch(message);
  expect((error as UserError).message).not.toContain("\n");
}

describe("memory map", () => {
  const expected = [
    [0x1000, 0xffff, "riscv_virt_board.mrom"],
    [0x10_0000, 0x10_0fff, "riscv.sifive.test"],
    [0x10_1000, 0x10_1023, "goldfish_rtc"],
    [0x200_0000, 0x200_3fff, "riscv.aclint.swi"],
    [0x200_4000, 0x200_bfff, "riscv.aclint.mtimer"],
    [0x400_0000, 0x400_00ff, "banana-rom"],
    [0xc00_0000, 0xc5f_ffff, "riscv.sifive.plic"],
    [0x1000_0000, 0x1000_0007, "serial"],
    ...Array.from({ length: 8 }, (_, n) => [0x1000_1000 + n * 0x1000, 0x1000_11ff + n * 0x1000, "virtio-mmio"]),
    [0x1010_0000, 0x1010_0007, "fwcfg.data"],
    [0x1010_0008, 0x1010_0009, "fwcfg.ctl"],
    [0x1010_0010, 0x1010_0017, "fwcfg.dma"],
    [0x8000_0000, 0x80ff_ffff, "riscv_virt_board.ram"],
  ];

  const map = (memory: AddressSpace) =>
    memory.flatView.ranges.map(({ start, end, region }) => [start, end - 1, region.name]);

  test("is the one that is documented", () => {
    expect(map(setUpBoard().memory)).toEqual(expected);
  });
});

describe("the banana ROM", () => {
  test("is there, and answers", () => {
    const { memory } = setUpBoard();
    expect(memory.load(0x400_0000, 4)).toBe(0xba00_0001);
  });

  test("is not there with banana-rom=off", () => {
    const { memory, board } = setUpBoard({ properties: { "banana-rom": "off" } });
    memory.load(0x400_0000, 4);
    expect(memory.fault).toBe(true);
    expect(board.object.children.has("banana-rom")).toBe(false);
  });

  test("is in no board, and in no bundle of a board, that does not ask for it", () => {
    const bare = virtBoardWith([], []);
    expect(bare.selects.map((type) => type.name)).not.toContain("banana-rom");
    expect(virtBoard.selects.map((type) => type.name)).toContain("banana-rom");
    setUpBoard({ info: bare });
    const here = import.meta.dirname;
    expect(importsOf(resolve(here, "virt.ts"))).toContain(resolve(here, "../hw/misc/banana-rom.ts"));
    expect(importsOf(resolve(here, "virt-machine.ts"))).not.toContain(resolve(here, "../hw/misc/banana-rom.ts"));
  });

  test("a wrong property is named, with those that there are", () => {
    expectUserError(() => setUpBoard({ properties: { bananarom: "off" } }), /no property "bananarom".*"banana-rom"/);
    expectUserError(
      () => setUpBoard({ properties: { "banana-rom": "maybe" } }),
      /banana-rom: "maybe" is not on or off/,
    );
  });
});

describe("wiring", () => {
  test("PLIC source 10 is the UART, and its contexts are M and S of each hart", () => {
    const { board, memory, high } = setUpBoard({ hartCount: 3 });
    board.complete();
    board.reset();
    high.clear();
    memory.store(0x1000_0001, 1, 2, 0); // IER: transmitter empty
    expect(memory.load(0xc00_1000, 4)).toBe(1 << 10);
    memory.store(0xc00_0000 + 10 * 4, 4, 1, 0); // priority
    for (const [context, input] of ["hart0:11", "hart0:9", "hart1:11", "hart1:9", "hart2:11", "hart2:9"].entries()) {
      memory.store(0xc00_2000 + context * 0x80, 4, 1 << 10, 0);
      expect([...high]).toEqual([input]);
      memory.store(0xc00_2000 + context * 0x80, 4, 0, 0);
    }
  });

  test("PLIC source 11 is the clock's alarm", () => {
    const { board, memory, clock } = setUpBoard();
    board.complete();
    board.reset();
    memory.store(0x10_1010, 4, 1, 0);
    memory.store(0x10_100c, 4, 0, 0);
    memory.store(0x10_1008, 4, 1000, 0);
    clock.advance(2000);
    expect(memory.load(0xc00_1000, 4)).toBe(1 << 11);
  });

  test("the CLINT's lines", () => {
    const { board, memory, high, clock } = setUpBoard({ hartCount: 2 });
    board.complete();
    board.reset();
    high.clear();
    memory.store(0x200_0004, 4, 1, 0);
    expect([...high]).toEqual(["hart1:3"]);
    memory.store(0x200_0004, 4, 0, 0);
    memory.store(0x200_4008, 8, 5, 0);
    expect([...high]).toEqual([]);
    clock.advance(500);
    expect([...high]).toEqual(["hart1:7"]);
    expect(board.timeBase.time).toBe(5n);
  });

  test("the user's defaults reach the board's devices, but not its wiring", () => {
    const defaultsOf = (type: TypeInfo): Record<string, string> => {
      if (type.name === "virtio-mmio") return { "force-legacy": "off" };
      return type.name === "riscv.sifive.plic" ? { "num-sources": "5" } : {};
    };
    const { board, memory } = setUpBoard({ defaultsOf });
    expect(memory.load(0x1000_1004, 4)).toBe(2);
    expect(setUpBoard().memory.load(0x1000_1004, 4)).toBe(1);
    expect(board.object.resolve("plic")?.get("num-sources")).toBe(96);
  });

  test("fw_cfg knows the number of harts and the user's files", () => {
    const { memory } = setUpBoard({ hartCount: 5, fwCfg: [{ name: "opt/x", bytes: Uint8Array.of(42) }] });
    memory.store(0x1010_0008, 2, 0x0500, 0);
    expect(memory.load(0x1010_0000, 2)).toBe(5);
    memory.store(0x1010_0008, 2, 0x2000, 0);
    expect(memory.load(0x1010_0000, 1)).toBe(42);
  });
});

describe("plug", () => {
  const deviceId = (memory: AddressSpace, slot: number) => memory.load(0x1000_1008 + slot * 0x1000, 4);
  const rng = () => createObject(virtioRngType) as Device;

  test("takes the transports from the last one down", () => {
    const { board, memory } = setUpBoard();
    for (let n = 7; n >= 0; n--) {
      expect(deviceId(memory, n)).toBe(0);
      board.plug(rng());
      expect(deviceId(memory, n)).toBe(4);
    }
    expectUserError(() => board.plug(rng()), /virtio-rng-device: all 8 virtio-mmio transports .* are in use/);
  });

  test("takes the bus that is named", () => {
    const { board, memory } = setUpBoard();
    board.plug(rng(), "virtio-mmio-bus.2");
    expect(deviceId(memory, 2)).toBe(4);
    expectUserError(() => board.plug(rng(), "virtio-mmio-bus.2"), /virtio-rng-device .* is in it/);
    expectUserError(() => board.plug(rng(), "virtio-mmio-bus.9"), /no bus "virtio-mmio-bus.9" \(did you mean/);
    expectUserError(() => board.plug(rng(), "pci.0"), /no bus "pci.0"/);
  });

  test("puts devices into the composition tree by their ids", () => {
    const { board } = setUpBoard();
    const named = rng();
    named.id = "rng0";
    board.plug(named);
    const nameless = rng();
    board.plug(nameless);
    expect(named.path).toBe("/machine/peripheral/rng0");
    expect(nameless.path).toBe("/machine/peripheral-anon/device[0]");
    const again = rng();
    again.id = "rng0";
    expectUserError(() => board.plug(again), /has a "rng0" already/);
  });

  test("refuses what is no virtio device", () => {
    expectUserError(() => setUpBoard().board.plug(testDevice()), /test-device: the virt board has no bus for it/);
  });
});

describe("place", () => {
  test("maps, connects and describes a user's device", () => {
    const { board, memory } = setUpBoard();
    const device = testDevice();
    board.place(device, { addresses: [0x500_0000n], irqs: [20] });
    expect(memory.load(0x500_0000, 4)).toBe(77);
    device.irq(true);
    expect(memory.load(0xc00_1000, 4)).toBe(1 << 20);
    board.complete();
    const node = decodeFdt(board.deviceTree, "dtb").root.find("/soc/test-device@5000000");
    expect(node?.properties.get("interrupts")).toEqual(cells(20));
    expect(node?.properties.get("reg")).toEqual(cells64(0x500_0000, 0x1000));
  });

  test.each<[string, bigint[], number[], RegExp]>([
    ["the address of another device", [0x1000_0004n], [], /test-device at 0x10000004-0x10001003 overlaps .*serial/],
    ["the address of RAM", [0x80ff_f001n], [], /overlaps .*ram/],
    ["the banana ROM's address", [0x400_00ffn], [], /overlaps .*banana-rom/],
    ["the UART's interrupt", [0x500_0000n], [10], /interrupt 10 is taken by serial-mm \(\/machine\/uart0\)/],
    ["interrupt 97", [0x500_0000n], [97], /no interrupt source 97/],
    ["two interrupts", [0x500_0000n], [20, 21], /2 interrupts given, the device has 1/],
    ["no address", [], [], /0 addresses given, the device has 1 regions/],
  ])("refuses %s", (_title, addresses, irqs, message) => {
    const { board, memory } = setUpBoard();
    const device = testDevice();
    expectUserError(() => board.place(device, { addresses, irqs }), message);
    expect([device.realized, device.parent]).toEqual([false, undefined]);
    memory.load(0x500_0000, 4);
    expect(memory.fault).toBe(true);
    board.place(testDevice(), { addresses: [0x500_0000n], irqs: [20] });
  });
});

describe("boot", () => {
  const code = Uint8Array.of(0x13, 0, 0, 0);
  const kernel = {
    source: "-kernel k.elf",
    bytes: elfForTests({ segments: [{ address: 0x8020_0000, data: code, memorySize: 8 }] }),
  };
  const firmware = { source: "-bios fw.bin", bytes: Uint8Array.of(1, 2, 3, 4) };

  test("every reset writes firmware, kernel and device tree anew", () => {
    const { board, memory } = setUpBoard({ boot: { firmware, kernel, append: "console=ttyS0" } });
    board.complete();
    for (let i = 0; i < 2; i++) {
      board.reset();
      expect(memory.load(0x8000_0000, 4)).toBe(0x0403_0201);
      expect(memory.load(0x8020_0000, 4)).toBe(0x13);
      expect(memory.load(0x8020_0004, 4)).toBe(0);
      for (const address of [0x8000_0000, 0x8020_0000, 0x8020_0004, 0x80e0_0000]) memory.store(address, 4, -1, -1);
    }
    board.reset();
    const fdt = new Uint8Array(board.deviceTree.length);
    memory.readBytes(0x80e0_0000, fdt);
    expect(fdt).toEqual(board.deviceTree);
    expect(board.resetAddress).toBe(0x1000);
    expect([memory.load(0x1018, 4), memory.load(0x1020, 4), memory.load(0x1038, 4)]).toEqual([
      0x8000_0000, 0x80e0_0000, 0x8020_0000,
    ]);
  });

  test("/chosen has command line, initrd and seed", () => {
    const initrd = { source: "-initrd i", bytes: new Uint8Array(100) };
    const { board } = setUpBoard({ boot: { kernel, initrd, append: "root=/dev/vda ro" } });
    board.complete();
    const chosen = decodeFdt(board.deviceTree, "dtb").root.find("/chosen")!.properties;
    expect(chosen.get("bootargs")).toEqual(new TextEncoder().encode("root=/dev/vda ro\0"));
    expect(chosen.get("linux,initrd-start")).toEqual(cells(0x80a0_0000));
    expect(chosen.get("linux,initrd-end")).toEqual(cells(0x80a0_0064));
    expect(chosen.get("rng-seed")).toEqual(new Uint8Array(32).fill(7));
    expect(chosen.get("stdout-path")).toEqual(new TextEncoder().encode("/soc/serial@10000000\0"));
  });

  test("-dtb replaces the tree; chosen is patched, memory kept or added", () => {
    const root = new FdtNode("").prop("model", "mine");
    root.child("chosen").prop("bootargs", "old").prop("own", 1);
    root.child("memory@80000000").prop("device_type", "memory").prop("reg", cells64(0x8000_0000, 0x40_0000));
    const reservations = [{ address: 0x8010_0000n, size: 0x1000n }];
    const dtb = { source: "-dtb my.dtb", bytes: encodeFdt({ root, reservations, bootHart: 0 }) };
    const { board } = setUpBoard({ boot: { dtb, kernel, append: "new" } });
    board.complete();
    const tree = decodeFdt(board.deviceTree, "dtb");
    expect(tree.reservations).toEqual(reservations);
    expect([...tree.root.children.keys()]).toEqual(["chosen", "memory@80000000"]);
    expect(tree.root.find("/chosen")?.properties.get("bootargs")).toEqual(new TextEncoder().encode("new\0"));
    expect(tree.root.find("/chosen")?.properties.get("own")).toEqual(cells(1));
    expect(tree.root.find("/memory@80000000")?.properties.get("reg")).toEqual(cells64(0x8000_0000, 0x40_0000));

    const empty = { source: "-dtb", bytes: encodeFdt({ root: new FdtNode(""), reservations: [], bootHart: 0 }) };
    const other = setUpBoard({ boot: { dtb: empty } }).board;
    other.complete();
    const added = decodeFdt(other.deviceTree, "dtb").root;
    expect(added.find("/memory@80000000")?.properties.get("reg")).toEqual(cells64(0x8000_0000, 16 * MiB));
    expect(added.find("/chosen")?.properties.has("bootargs")).toBe(false);
  });

  test.each<[string, Partial<BoardContext>, RegExp]>([
    ["-append without a kernel", { boot: { firmware, append: "quiet" } }, /^-append quiet: .* -kernel$/],
    [
      "a dtb that is none",
      { boot: { dtb: { source: "-dtb x", bytes: Uint8Array.of(1) } } },
      /^-dtb x: not a device tree/,
    ],
    [
      "an empty kernel",
      { boot: { kernel: { source: "-kernel k", bytes: new Uint8Array() } } },
      /^-kernel k: the file is empty/,
    ],
    ["-m 0", { ramSize: 0 }, /^-m: 0 bytes of RAM are not enough: expected .* up to 3 GiB/],
    ["-m 8T", { ramSize: 2 ** 43 }, /^-m: 8192 GiB of RAM are more than this machine can have/],
    ["-m 5000 bytes", { ramSize: 5000 }, /^-m: 4.9 KiB of RAM are not whole pages/],
    ["-m NaN", { ramSize: Number.NaN }, /^-m: /],
    ["a lower limit", { ramSize: 16 * MiB, maxRamSize: 8 * MiB }, /up to 8 MiB/],
    ["-m 512K", { ramSize: 512 * 1024 }, /^-m 512K: no room for the device tree/],
  ])("refuses %s", (_title, context, message) => {
    expectUserError(() => setUpBoard(context).board.complete(), message);
  });

  test("knows the functions of firmware and kernel", () => {
    const symbols = [{ name: "_start", value: 0x8020_0000n, size: 4n }];
    const bytes = elfForTests({ segments: [{ address: 0x8020_0000, data: code }], symbols });
    const { board } = setUpBoard({ boot: { kernel: { source: "-kernel k", bytes } } });
    board.complete();
    expect(board.functions()).toEqual(symbols);
  });
});

/** A device with a register that reads 77 and one interrupt. */
class TestDevice extends SysBusDevice {
  readonly irq = this.initIrq();

  constructor(type: TypeInfo) {
    super(type);
    this.initMmio(MemoryRegion.io("test-device", 0x1000, { read: () => 77 }));
  }

  override describe(context: Parameters<NonNullable<SysBusDevice["describe"]>>[0]): void {
    context.soc
      .child(`test-device@${context.base.toString(16)}`)
      .prop("reg", cells64(context.base, context.size))
      .prop("interrupts", cells(...context.irqs));
  }
}

function testDevice(): TestDevice {
  const type: TypeInfo = {
    name: "test-device",
    parent: sysBusDeviceType,
    create: (own): QomObject => new TestDevice(own),
  };
  return createObject(type) as TestDevice;
}

/** All files that a module imports at run time, directly or not. */
function importsOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, path] of readFileSync(file, "utf8").matchAll(/^import (?!type )[^;]*from "(\.[^"]*)";$/gm)) {
    importsOf(resolve(dirname(file), path!), seen);
  }
  return seen;
}
