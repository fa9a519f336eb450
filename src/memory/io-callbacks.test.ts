import { describe, expect, test } from "vitest";
import { type AccessConstraints, IoCallbacks, type MemoryRegionOps } from "./io-callbacks.ts";

const SIZES = [1, 2, 4, 8] as const;

/** A region that is bytes, in either byte order, with every callback logged. */
function byteRegion(endianness: "little" | "big", impl: AccessConstraints | undefined, wide: boolean) {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => 0x10 + i * 7);
  const calls: string[] = [];
  const order = (offset: number, size: number) =>
    Array.from({ length: size }, (_, i) => offset + (endianness === "little" ? size - 1 - i : i));
  const get = (offset: number, size: number) => {
    calls.push(`read ${offset}/${size}`);
    return order(offset, size).reduce((value, at) => (value << 8n) | BigInt(bytes[at]!), 0n);
  };
  const put = (offset: number, size: number, value: bigint) => {
    calls.push(`write ${offset}/${size}`);
    const places = order(offset, size).reverse();
    for (let i = 0; i < size; i++) bytes[places[i]!] = Number((value >> BigInt(8 * i)) & 0xffn);
  };
  const ops: MemoryRegionOps = {
    read: (offset, size) => Number(get(offset, size)) | 0,
    write: (offset, value, size) => put(offset, size, BigInt(value)),
    ...(wide ? { read64: (offset) => get(offset, 8), write64: (offset, value) => put(offset, 8, value) } : {}),
    endianness,
    ...(impl === undefined ? {} : { impl }),
  };
  return { bytes, calls, io: new IoCallbacks("bytes", ops) };
}

function littleEndian(bytes: Uint8Array, offset: number, size: number): bigint {
  return [...bytes.subarray(offset, offset + size)].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

const asBigint = (low: number, high: number) => (BigInt(high) << 32n) | BigInt(low);

const constraints = SIZES.flatMap((min) => SIZES.filter((max) => max >= min).map((max) => ({ min, max })));
const cases = (["little", "big"] as const).flatMap((endianness) =>
  [undefined, ...constraints].flatMap((impl) =>
    [false, true].filter((wide) => wide || impl?.min !== 8).map((wide) => ({ endianness, impl, wide })),
  ),
);

describe("a region of bytes reads and writes as bytes, however accesses are split or widened", () => {
  test.each(cases)("$endianness endian, impl $impl, 64-bit callbacks: $wide", ({ endianness, impl, wide }) => {
    for (const size of SIZES) {
      for (let offset = 0; offset <= 16; offset += size) {
        const { bytes, calls, io } = byteRegion(endianness, impl, wide);
        const low = io.read(offset, size);
        expect(asBigint(low, io.high), `read ${offset}/${size}`).toBe(littleEndian(bytes, offset, size));
        const max = Math.min(impl?.max ?? 8, wide ? 8 : 4);
        const step = Math.max(Math.min(size, max), impl?.min ?? 1);
        const expected = Array.from(
          { length: Math.max(1, size / step) },
          (_, i) => `read ${offset + i * step}/${step}`,
        );
        expect(calls).toEqual(expected);

        calls.length = 0;
        const before = bytes.slice();
        io.write(offset, size, 0x8765_4321, 0xfedc_ba98);
        const written = new Uint8Array(8);
        new DataView(written.buffer).setBigUint64(0, 0xfedc_ba98_8765_4321n, true);
        before.set(written.subarray(0, size), offset);
        // Widened, the callback also gets zeros for the bytes that the access does not have.
        if (step > size) before.fill(0, offset + size, offset + step);
        expect(bytes, `write ${offset}/${size}`).toEqual(before);
        expect(calls).toEqual(expected.map((call) => call.replace("read", "write")));
      }
    }
  });
});

test("values are cut to the size of the access, and unsigned", () => {
  const io = new IoCallbacks("minus one", { read: () => -1 });
  expect([1, 2, 4].map((size) => io.read(0, size))).toEqual([0xff, 0xffff, 0xffff_ffff]);
  expect([io.read(0, 8), io.high]).toEqual([0xffff_ffff, 0xffff_ffff]);
  expect([io.read(0, 4), io.high]).toEqual([0xffff_ffff, 0]);
  const written: number[] = [];
  const sink = new IoCallbacks("sink", { write: (_offset, value) => written.push(value) });
  for (const size of [1, 2, 4]) sink.write(0, size, -1, 0);
  expect(written).toEqual([0xff, 0xffff, 0xffff_ffff]);
});

test("64-bit callbacks alone serve every size", () => {
  const seen: bigint[] = [];
  const io = new IoCallbacks("wide", {
    read64: () => 0x8877_6655_4433_2211n,
    write64: (_o, value) => seen.push(value),
  });
  expect([io.read(0, 1), io.read(0, 4)]).toEqual([0x11, 0x4433_2211]);
  expect([io.read(0, 8), io.high]).toEqual([0x4433_2211, 0x8877_6655]);
  io.write(0, 2, 0x12345, 0);
  expect(seen).toEqual([0x2345n]);
});

test("a missing callback reads 0 and swallows writes", () => {
  const io = new IoCallbacks("nothing", {});
  expect([io.read(0, 4), io.readable, io.writable]).toEqual([0, false, false]);
  io.write(0, 4, 1, 0);
});

test("what the bus refuses, and why", () => {
  const any = new IoCallbacks("any", {});
  expect(any.refusal(0, 8)).toBeUndefined();
  expect(any.refusal(2, 4)).toBe("the access is not aligned");
  const words = new IoCallbacks("words", { valid: { min: 4, max: 4 } });
  expect(words.refusal(4, 4)).toBeUndefined();
  expect(words.refusal(4, 2)).toBe("the region takes 4 bytes at a time");
  expect(new IoCallbacks("test", { valid: { min: 2, max: 4 } }).refusal(0, 8)).toBe(
    "the region takes 2 to 4 bytes at a time",
  );
  expect(new IoCallbacks("loose", { valid: { unaligned: true } }).refusal(3, 4)).toBeUndefined();
});

test("limits that exclude everything are the model's bug", () => {
  expect(() => new IoCallbacks("odd", { valid: { min: 8, max: 4 } })).toThrow(
    new RangeError("memory region odd: the smallest access is larger than the largest"),
  );
  expect(() => new IoCallbacks("odd", { impl: { min: 4, max: 2 } })).toThrow(RangeError);
});
