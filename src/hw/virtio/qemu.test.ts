// virtio beside QEMU 7.2's: the same driver on both boards, the same answers. QEMU's test socket does the accesses, on a
// machine whose hart is stopped. Deviations that are meant are masked or left out, each named where that is done and in
// the device's page.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Drive } from "../../backend/block-drive.ts";
import { openFileBlock } from "../../node/file-block.ts";
import type { PropertyValue } from "../../qom/property.ts";
import { VirtioBlk, virtioBlkType } from "../block/virtio-blk.ts";
import { VirtioNet, virtioNetType } from "../net/virtio-net.ts";
import { type Bus, MMIO_BASE, TestDriver, type TestQueue, VirtioBoard } from "./driver-for-tests.ts";
import type { VirtioDevice } from "./virtio-device.ts";
import { VirtioRng, virtioRngType } from "./virtio-rng.ts";

const EMULATOR = "qemu-system-riscv64";
const hasQemu = / version 7\.2\./.test(spawnSync(EMULATOR, ["--version"], { encoding: "utf8" }).stdout ?? "");

const SECTORS = 40;
const SUFFIX = { 1: "b", 2: "w", 4: "l" } as const;

/** One line for QEMU, and what our board answered: a value, or nothing for writes. */
interface Step {
  readonly command: string;
  readonly answer?: string;
  /** The bits to compare. */
  readonly mask?: number;
  /** Repeat until the answer is ours. */
  readonly wait?: boolean;
}

/** Our board, with everything that is done on it kept to be done on QEMU's. */
class Recorder implements Bus {
  readonly board: VirtioBoard;
  readonly steps: Step[] = [];
  /** Masks of registers that deviate, by offset. */
  readonly masks = new Map<number, number>();

  constructor(board: VirtioBoard) {
    this.board = board;
  }

  read(address: number, size: 1 | 2 | 4): number {
    const value = this.board.read(address, size);
    const mask = this.masks.get(address - MMIO_BASE) ?? 0xffff_ffff;
    this.steps.push({ command: `read${SUFFIX[size]} ${hex(address)}`, answer: hex(value), mask });
    return value;
  }

  write(address: number, size: 1 | 2 | 4, value: number): void {
    this.board.write(address, size, value);
    this.steps.push({ command: `write${SUFFIX[size]} ${hex(address)} ${hex(value)}` });
  }

  readBytes(address: number, length: number): Uint8Array {
    const bytes = this.board.readBytes(address, length);
    if (length > 0) this.steps.push({ command: `read ${hex(address)} ${hex(length)}`, answer: bytesText(bytes) });
    return bytes;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    this.board.writeBytes(address, bytes);
    if (bytes.length > 0) {
      this.steps.push({ command: `write ${hex(address)} ${hex(bytes.length)} ${bytesText(bytes)}` });
    }
  }

  wait(address: number, value: number): void {
    this.board.wait(address, value);
    this.steps.push({ command: `readw ${hex(address)}`, answer: hex(value), wait: true });
  }

  /** Does it all on QEMU's board and compares. */
  async compare(modern: boolean, options: readonly string[]): Promise<void> {
    const qemu = spawn(
      EMULATOR,
      [
        ...["-M", "virt", "-m", "32", "-S", "-bios", "none", "-display", "none", "-monitor", "none", "-serial", "null"],
        "-nodefaults",
        ...["-qtest", "stdio", "-qtest-log", "none"],
        ...["-global", `virtio-mmio.force-legacy=${modern ? "off" : "on"}`, ...options],
      ],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    try {
      await this.#replay(qemu);
    } finally {
      qemu.kill();
      if (qemu.exitCode === null && qemu.signalCode === null) await once(qemu, "exit");
    }
  }

  async #replay(qemu: ChildProcess): Promise<void> {
    const lines = createInterface({ input: qemu.stdout! })[Symbol.asyncIterator]();
    const answer = async (): Promise<string> => {
      const { value, done } = await lines.next();
      if (done) throw new Error("QEMU has ended");
      return value as string;
    };
    let from = 0;
    while (from < this.steps.length) {
      // All up to the next wait in one go.
      let to = this.steps.findIndex((step, i) => i >= from && step.wait);
      if (to < 0) to = this.steps.length;
      qemu.stdin!.write(
        this.steps
          .slice(from, to)
          .map(({ command }) => `${command}\n`)
          .join(""),
      );
      for (let i = from; i < to; i++) this.#check(i, await answer());
      const waiting = this.steps[to];
      for (let tries = 0; waiting !== undefined; tries++) {
        qemu.stdin!.write(`${waiting.command}\n`);
        const line = await answer();
        if (BigInt(line.replace(/^OK /, "")) === BigInt(waiting.answer!)) break;
        if (tries === 5_000) this.#check(to, line);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      from = to + 1;
    }
  }

  #check(index: number, line: string): void {
    const { command, answer, mask } = this.steps[index]!;
    const theirs = line.replace(/^OK ?/, "");
    const same =
      answer === undefined
        ? line === "OK"
        : mask === undefined
          ? theirs === answer
          : (Number(BigInt(theirs)) & mask) === (Number(answer) & mask);
    if (same) return;
    const before = this.steps.slice(Math.max(0, index - 25), index).map((step) => `${step.command} -> ${step.answer}`);
    expect([...before, `${command} -> ${answer ?? "OK"}`]).toEqual([...before, `${command} -> ${theirs}`]);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function bytesText(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}

/** Numbers that look random and are the same every time. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

/** Every register that can be read without having an effect. */
function readRegisters(driver: TestDriver, modern: boolean): void {
  for (let offset = 0; offset < 0x100; offset += 4) {
    // Registers that cannot be read are 0 on both. QEMU shows the length of shared memory to legacy drivers too, and
    // gives memory that is not there the base 0.
    if (offset >= (modern ? 0xb8 : 0xb0) && offset <= 0xbc) continue;
    driver.reg(offset);
  }
}

describe.skipIf(!hasQemu)(`virtio beside QEMU 7.2 (needs ${EMULATOR} 7.2)`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-virtio-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The same disk for both boards. */
  function disk(readOnly: boolean): { readonly drive: Drive; readonly options: string[] } {
    const bytes = Uint8Array.from({ length: SECTORS * 512 }, (_, i) => (i >> 9) ^ (i & 0xff));
    for (const name of ["ours.img", "theirs.img"]) writeFileSync(join(folder, name), bytes);
    const option = `file=${join(folder, "theirs.img")},format=raw,if=none,id=hd0${readOnly ? ",readonly=on" : ""}`;
    return {
      drive: new Drive("hd0", openFileBlock(join(folder, "ours.img"), { readOnly })),
      options: ["-drive", option, "-device"],
    };
  }

  function record(device: VirtioDevice, modern: boolean, properties: Record<string, PropertyValue>): Recorder {
    for (const [name, value] of Object.entries(properties)) device.set(name, value);
    const board = new VirtioBoard(modern);
    board.plug(device);
    return new Recorder(board);
  }

  const BOTH = [
    ["legacy", false],
    ["modern", true],
  ] as const;

  describe.each(BOTH)("%s", (_name, modern) => {
    // NOTIFY_ON_EMPTY and SCSI commands, which nobody uses any more, are not offered; ANY_LAYOUT is, by all devices.
    const BLK_MASK = ~((1 << 27) | (1 << 24) | (1 << 7));
    // Nor are the old name of offloads, their changes, and announcements after a migration; checksums, which QEMU leaves
    // to networks that can do them, are.
    const NET_MASK = ~((1 << 24) | (1 << 21) | (1 << 6) | (1 << 2) | (1 << 0));

    function withDisk(readOnly = false) {
      const { drive, options } = disk(readOnly);
      const recorder = record(new VirtioBlk(virtioBlkType), modern, { drive, serial: "abcdefghijklmnopqrstuvwxyz" });
      recorder.masks.set(0x010, BLK_MASK);
      return { recorder, options: [...options, "virtio-blk-device,drive=hd0,serial=abcdefghijklmnopqrstuvwxyz"] };
    }

    test("registers and configuration of a disk, before, during and after negotiation", async () => {
      const { recorder, options } = withDisk();
      const driver = new TestDriver(recorder, modern);
      readRegisters(driver, modern);
      for (const size of [1, 2, 4] as const) {
        // QEMU's configuration ends three bytes before the specification's structure does.
        for (let offset = 0; offset < 56; offset += size) driver.config(offset, size);
        for (let offset = 60; offset < 0x100; offset += size) driver.config(offset, size);
      }
      // Feature words past the second, which do not exist, show the second one in QEMU.
      driver.features;
      driver.negotiate();
      driver.queue(0, 64);
      driver.start();
      readRegisters(driver, modern);
      driver.setConfig(32, 1, 0);
      driver.config(32, 1);
      driver.setReg(0x030, 1);
      readRegisters(driver, modern);
      driver.setReg(0x030, 0);
      driver.setReg(0x070, 0);
      driver.setReg(0x014, 0);
      readRegisters(driver, modern);
      await recorder.compare(modern, options);
    });

    test("registers and configuration of a network card", async () => {
      const recorder = record(new VirtioNet(virtioNetType), modern, {});
      recorder.masks.set(0x010, NET_MASK);
      // Without a network QEMU says that the link is up.
      recorder.masks.set(0x106, 0);
      const driver = new TestDriver(recorder, modern);
      readRegisters(driver, modern);
      for (let offset = 0; offset < 16; offset++) driver.config(offset, 1);
      driver.features;
      for (let queue = 0; queue < 5; queue++) {
        driver.setReg(0x030, queue);
        driver.reg(0x034);
      }
      await recorder.compare(modern, ["-device", "virtio-net-device"]);
    });

    test("registers of an entropy device, and of a transport without one", async () => {
      const recorder = record(new VirtioRng(virtioRngType), modern, {});
      recorder.masks.set(0x010, ~(1 << 24));
      const driver = new TestDriver(recorder, modern);
      readRegisters(driver, modern);
      driver.features;
      driver.config(0, 1);
      await recorder.compare(modern, ["-device", "virtio-rng-device"]);
      const empty = new Recorder(new VirtioBoard(modern));
      const other = new TestDriver(empty, modern);
      readRegisters(other, modern);
      for (const size of [1, 2] as const) empty.read(MMIO_BASE, size);
      other.setReg(0x070, 1);
      readRegisters(other, modern);
      await empty.compare(modern, []);
    });

    test.each([
      ["", false],
      [" that is read-only", true],
    ])("requests to a disk%s", async (_name, readOnly) => {
      const { recorder, options } = withDisk(readOnly);
      const driver = new TestDriver(recorder, modern);
      driver.negotiate();
      const queue = driver.queue(0, 32);
      driver.start();
      const roll = dice(modern ? 1 : 2);
      for (let i = 0; i < 400; i++) {
        // Some wait for an interrupt, some want none, some have asked for a later one.
        if (roll(3) > 0) queue.setUsedEvent((queue.usedIndex + roll(4)) & 0xffff);
        randomRequest(queue, roll, readOnly);
        driver.reg(0x060);
        queue.availableEvent;
        if (roll(2) === 0) driver.setReg(0x064, 3);
        driver.reg(0x060);
      }
      await recorder.compare(modern, options);
    });

    test("requests to a disk, with interrupts by flag and no indirect descriptors", async () => {
      const { recorder, options } = withDisk();
      const driver = new TestDriver(recorder, modern);
      driver.negotiate(~((1n << 28n) | (1n << 29n)));
      const queue = driver.queue(0, 32);
      driver.start();
      const roll = dice(3);
      for (let i = 0; i < 200; i++) {
        queue.setAvailableFlags(roll(2));
        randomRequest(queue, roll, false);
        driver.reg(0x060);
        recorder.readBytes(queue.used, 2);
        if (roll(2) === 0) driver.setReg(0x064, 1);
      }
      await recorder.compare(modern, options);
    });

    test("commands to a network card's control queue", async () => {
      const recorder = record(new VirtioNet(virtioNetType), modern, {});
      recorder.masks.set(0x010, NET_MASK);
      const driver = new TestDriver(recorder, modern);
      driver.negotiate(~1n);
      const queue = driver.queue(2, 32);
      driver.start();
      const roll = dice(4);
      for (let i = 0; i < 300; i++) {
        // Announcements and several queues are not offered here; QEMU knows classes up to 5.
        const kind = roll(4) === 0 ? 6 + roll(250) : roll(3);
        const command = roll(4) === 0 ? roll(256) : roll(6);
        // QEMU takes a receive mode of more than one byte for none; VLAN and address it wants exact as well.
        const data = kind === 0 ? [roll(2)] : kind === 2 ? [roll(256), roll(17)] : macData(roll, command);
        queue.request([Uint8Array.of(kind, command, ...data), 1]);
        for (let at = 0; at < 6; at++) driver.config(at, 1);
      }
      await recorder.compare(modern, ["-device", "virtio-net-device"]);
    });
  });
});

/** Data for a command of class MAC: sometimes too short or too long for what it says. */
function macData(roll: (sides: number) => number, command: number): number[] {
  if (command !== 0) return Array.from({ length: roll(3) === 0 ? roll(9) : 6 }, () => roll(256));
  const table = (): number[] => {
    const count = roll(3);
    return [count, 0, 0, 0, ...Array.from({ length: 6 * count }, () => roll(256))];
  };
  const data = [...table(), ...table()];
  return roll(3) === 0 ? data.slice(0, roll(data.length)) : data;
}

/** A request of any kind, right or wrong, in any layout. */
function randomRequest(queue: TestQueue, roll: (sides: number) => number, readOnly: boolean): void {
  // The numbers that do not stand here: 2 and 3 are SCSI's, 5 and 12 ... 15 are other names of their even neighbours.
  const types = [0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 10, 99];
  const type = types[roll(types.length)]!;
  const header = new DataView(new ArrayBuffer(16));
  header.setUint32(0, type, true);
  const sectors = [roll(SECTORS), roll(SECTORS), SECTORS - 1, SECTORS, 0xffff_ffff];
  header.setUint32(8, sectors[roll(5)]!, true);
  if (roll(10) === 0) header.setUint32(12, roll(2) === 0 ? 0xffff_ffff : 1 << roll(32), true);
  const length = [512, 512, 1024, 1536, 2048, 0, 1, 511, 513][roll(9)]!;
  let output = new Uint8Array(header.buffer);
  let input = 1;
  if (type === 0) input += length;
  else if (type === 1) output = Uint8Array.from([...output, ...Array.from({ length }, () => roll(256))]);
  else if (type === 8) input += roll(30);
  else if (type === 11 || type === 13) {
    // QEMU ignores a discard unless told otherwise, even on a read-only disk; ours refuses that.
    const range = new DataView(new ArrayBuffer(16));
    range.setUint32(0, roll(SECTORS + 2), true);
    range.setUint32(8, type === 11 && readOnly ? 0x40_0000 : roll(10), true);
    range.setUint32(12, roll(3), true);
    output = Uint8Array.from([...output, ...new Uint8Array(range.buffer)]);
  }
  queue.request([...pieces(output, roll), ...pieceSizes(input, roll)]);
}

function pieces(bytes: Uint8Array, roll: (sides: number) => number): Uint8Array[] {
  let at = 0;
  return pieceSizes(bytes.length, roll).map((size) => bytes.subarray(at, (at += size)));
}

function pieceSizes(length: number, roll: (sides: number) => number): number[] {
  const sizes: number[] = [];
  let left = length;
  while (left > 0 && sizes.length < 4 && roll(3) > 0) {
    const size = 1 + roll(left);
    sizes.push(size);
    left -= size;
  }
  if (left > 0) sizes.push(left);
  return sizes;
}
