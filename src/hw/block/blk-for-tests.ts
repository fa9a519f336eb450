// A disk with a driver on a test board, and the requests that a driver of disks sends.

import type { BlockBackend } from "../../backend/block.ts";
import { Drive } from "../../backend/block-drive.ts";
import { MemoryStore } from "../../backend/block-memory.ts";
import { RawBlock } from "../../backend/block-raw.ts";
import type { PropertyValue } from "../../qom/property.ts";
import { type Buffer, TestDriver, type TestQueue, VirtioBoard } from "../virtio/driver-for-tests.ts";
import { VirtioBlk, virtioBlkType } from "./virtio-blk.ts";

export const SECTORS = 64;

/** A disk whose sectors are filled with their numbers. */
export function numbered(): Uint8Array {
  return Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i >> 9);
}

export function header(type: number, sector: number | bigint = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt.asUintN(64, BigInt(sector)), true);
  return new Uint8Array(view.buffer);
}

export function range(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(sector)), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
}

export function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

interface Setup {
  readonly board: VirtioBoard;
  readonly device: VirtioBlk;
  readonly driver: TestDriver;
  readonly queue: TestQueue;
}

/** A disk with a driver that has negotiated everything. */
export function setup(
  disk: BlockBackend | Uint8Array,
  { modern = false, features = -1n, properties = {} as Record<string, PropertyValue> } = {},
): Setup {
  const board = new VirtioBoard(modern);
  const device = new VirtioBlk(virtioBlkType);
  const backend = disk instanceof Uint8Array ? new RawBlock(new MemoryStore(disk)) : disk;
  device.set("drive", new Drive("hd0", backend));
  for (const [name, value] of Object.entries(properties)) device.set(name, value);
  board.plug(device);
  const driver = new TestDriver(board, modern);
  driver.negotiate(features);
  const queue = driver.queue(0, 16);
  driver.start();
  return { board, device, driver, queue };
}

/** Sends a request; returns the status byte and the bytes before it. */
export function ask(
  queue: TestQueue,
  buffers: readonly Buffer[],
): { status: number; length: number; data: Uint8Array } {
  const { length, buffers: answers } = queue.request(buffers);
  const bytes = Uint8Array.from(answers.flatMap((answer) => [...answer]));
  return { status: bytes.at(-1)!, length, data: bytes.subarray(0, -1) };
}

export const IN = 0;
export const OUT = 1;
export const FLUSH = 4;
export const GET_ID = 8;
export const DISCARD = 11;
export const WRITE_ZEROES = 13;
