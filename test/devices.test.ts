// What every device type under src/hw must have: a test beside it, a page in docs/devices, a reset that brings it back to
// where it began, and a state that a snapshot holds completely. A new device is found here by itself.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Drive } from "../src/backend/block-drive.ts";
import { MemoryStore } from "../src/backend/block-memory.ts";
import { RawBlock } from "../src/backend/block-raw.ts";
import type { Chardev } from "../src/backend/chardev.ts";
import type { NetBackend } from "../src/backend/net.ts";
import { type Device, SysBusDevice, sysBusDeviceType } from "../src/device/device.ts";
import { TestBoard } from "../src/hw/board-for-tests.ts";
import { VirtioDevice } from "../src/hw/virtio/virtio-device.ts";
import { type VirtioMmio, virtioMmioType } from "../src/hw/virtio/virtio-mmio.ts";
import type { PropertyType } from "../src/qom/property.ts";
import { isA, lineage, propertiesOf, type TypeInfo } from "../src/qom/type-info.ts";
import { createObject } from "../src/qom/type-registry.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const HW = `${ROOT}src/hw`;

const MMIO = 0x1000_0000;
const REGION_DISTANCE = 0x100_0000;
const RAM = 0x8000_0000;
const RAM_SIZE = 0x1_0000;
/** Accesses of one round, and rounds: each is followed by a snapshot or a reset. */
const STEPS = 100;
const ROUNDS = 20;

/** What a reset leaves as it is, by type or its parent, with the reason. */
const SURVIVES_RESET: Readonly<Record<string, readonly string[]>> = {
  // The time of day: a battery keeps it.
  "goldfish-rtc": ["offset"],
  // mtimecmp is in no known state after a reset, says the specification; offset makes mtime 0 at that time.
  "riscv.aclint.mtimer": ["mtimecmp", "offset"],
  // A driver that reads the configuration across a reset must notice.
  "virtio-device": ["generation"],
};

interface DeviceType {
  readonly type: TypeInfo;
  /** The module that exports it. */
  readonly file: string;
}

async function deviceTypes(): Promise<DeviceType[]> {
  const files = readdirSync(HW, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".ts") && !/(\.test|-for-tests)\.ts$/.test(file),
  );
  const found: DeviceType[] = [];
  for (const file of files.sort()) {
    const exports: Record<string, unknown> = await import(`${HW}/${file}`);
    for (const value of Object.values(exports)) {
      if (isTypeInfo(value) && value.abstract !== true) found.push({ type: value, file: `${HW}/${file}` });
    }
  }
  return found;
}

function isTypeInfo(value: unknown): value is TypeInfo {
  return typeof value === "object" && value !== null && "name" in value && ("create" in value || "parent" in value);
}

/** Something to put into a property that refers to the host's side. */
const BACKENDS: Partial<Record<PropertyType, () => object>> = {
  chardev: (): Chardev => ({ id: "c", attach: () => {}, write: () => {}, acceptInput: () => {}, close: () => {} }),
  drive: () => new Drive("d", new RawBlock(new MemoryStore(new Uint8Array(64 << 10)))),
  netdev: (): NetBackend => ({
    id: "n",
    attach: () => {},
    transmit: () => {},
    resume: () => {},
    close: () => {},
  }),
};

/** A board with nothing but the device, or with the device on a virtio transport. */
class Bench {
  readonly board = new TestBoard();
  readonly device: Device;
  readonly levels: boolean[] = [];
  readonly #ram = this.board.addRam(RAM, RAM_SIZE);
  readonly #regions: { readonly address: number; readonly size: number }[] = [];

  constructor(type: TypeInfo) {
    this.device = createObject(type) as Device;
    for (const [name, { type: kind }] of propertiesOf(type)) {
      const backend = BACKENDS[kind];
      if (backend !== undefined) this.device.set(name, backend());
    }
    if (this.device instanceof VirtioDevice) {
      const transport = createObject(virtioMmioType, { "force-legacy": false }) as VirtioMmio;
      transport.plug(this.device);
      this.#addSysBus(transport);
      this.board.machine.addChild("plugged", this.device);
      this.device.realize(this.board);
    } else if (this.device instanceof SysBusDevice) {
      this.#addSysBus(this.device);
    } else {
      throw new Error(`${type.name}: this test does not know where such a device goes`);
    }
    this.board.reset();
  }

  #addSysBus(device: SysBusDevice): void {
    this.board.add(device);
    for (const [n, region] of device.mmio.entries()) {
      const address = MMIO + n * REGION_DISTANCE;
      this.board.system.addSubregion(BigInt(address), region);
      this.#regions.push({ address, size: Number(region.size) });
    }
    for (const n of device.irqNames.keys()) {
      this.levels[n] = false;
      device.connectIrq(n, (level) => {
        this.levels[n] = level;
      });
    }
  }

  /** Does what a guest without manners does, and says what it saw. */
  abuse(seed: number): unknown[] {
    const roll = dice(seed);
    const seen: unknown[] = [];
    for (let i = 0; i < STEPS; i++) {
      const { address, size } = this.#regions[roll(this.#regions.length)]!;
      const width = ([1, 2, 4, 4, 4, 8] as const)[roll(6)]!;
      // Most registers are near the start of a region, and in large ones far apart.
      const offset = roll(2) === 0 ? roll(Math.min(size, 0x100)) : roll(size);
      const at = address + (offset & ~(width - 1));
      if (roll(2) === 0) seen.push(this.board.read(at, width));
      else seen.push(this.board.write(at, width, [roll(4), roll(256), roll(2 ** 32), RAM + roll(RAM_SIZE)][roll(4)]!));
      if (roll(8) === 0) this.board.clock.advance(roll(1_000_000));
      seen.push([...this.levels]);
    }
    return seen;
  }

  copyTo(other: Bench): void {
    other.#ram.set(this.#ram);
    this.board.copyTo(other.board);
  }
}

/** Numbers that look random and are the same every time: a 32-bit xorshift generator. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

const types = await deviceTypes();

test("device types are found", () => {
  expect(types.length).toBeGreaterThanOrEqual(12);
  const names = types.map(({ type }) => type.name);
  expect(names).toContain("banana-rom");
  expect(new Set(names).size).toBe(names.length);
});

describe.each(types.map(({ type, file }) => ({ name: type.name, type, file })))("$name", ({ name, type, file }) => {
  test("has a description, also of each property", () => {
    expect(type.description).toMatch(/\S/);
    for (const [property, info] of propertiesOf(type)) expect([property, info.description]).not.toContain(undefined);
  });

  test("has a test beside it", () => {
    const beside = file.replace(/\.ts$/, ".test.ts");
    expect(existsSync(beside), `${relative(ROOT, beside)} is missing`).toBe(true);
  });

  test("has a page that tells its registers, properties and deviations", () => {
    const page = `${ROOT}docs/devices/${name.replace(/-device$/, "")}.md`;
    expect(existsSync(page), `${relative(ROOT, page)} is missing`).toBe(true);
    const text = readFileSync(page, "utf8");
    expect(text.split("\n")[0]).toBe(`# ${name}`);
    expect(text).toContain(relative(ROOT, file));
    expect(text).toContain("## Deviations");
    if (isA(type, sysBusDeviceType.name)) expect(text).toContain("## Registers");
    for (const property of Object.keys(type.properties ?? {})) expect(text).toContain(property);
  });

  test("is after a reset as it was at first", () => {
    const survivors = lineage(type).flatMap((ancestor) => SURVIVES_RESET[ancestor.name] ?? []);
    const bench = new Bench(type);
    const first = bench.device.save();
    const levels = [...bench.levels];
    for (let round = 1; round <= ROUNDS; round++) {
      bench.abuse(round);
      bench.board.reset();
      expect(without(bench.device.save(), survivors)).toEqual(without(first, survivors));
      if (survivors.length === 0) expect(bench.levels).toEqual(levels);
    }
  });

  test("goes on from a snapshot as if nothing had happened", () => {
    const original = new Bench(type);
    for (let round = 1; round <= ROUNDS; round++) {
      original.abuse(round);
      const copy = new Bench(type);
      original.copyTo(copy);
      expect(copy.device.save()).toEqual(original.device.save());
      expect(copy.levels).toEqual(original.levels);
      expect(copy.abuse(-round)).toEqual(original.abuse(-round));
      expect(copy.device.save()).toEqual(original.device.save());
    }
  });
});

function without(state: unknown, keys: readonly string[]): unknown {
  if (state === undefined) return undefined;
  return Object.fromEntries(Object.entries(state as object).filter(([key]) => !keys.includes(key)));
}
