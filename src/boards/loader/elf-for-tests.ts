// Makes small ELF64 files for the loader's tests: as correct or as wrong as a test wants them.

/** A segment of the file; `memorySize` is the data's length unless given. */
interface TestSegment {
  readonly address: number;
  readonly data: Uint8Array;
  readonly memorySize?: number;
  /** `p_vaddr`, `address` unless given. */
  readonly virtualAddress?: bigint;
  /** `p_type`, PT_LOAD unless given. */
  readonly type?: number;
}

/** A symbol; all of them are functions in the one code section. */
interface TestSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly size?: bigint;
  readonly type?: number;
}

/** What goes into the file. */
export interface TestElf {
  readonly entry?: bigint;
  /** `e_type`: 2 for EXEC (the default), 3 for DYN. */
  readonly type?: number;
  readonly segments?: readonly TestSegment[];
  readonly symbols?: readonly TestSymbol[];
}

/** The bytes of an ELF64 little-endian RISC-V file. */
export function elfForTests({ entry, type = 2, segments = [], symbols = [] }: TestElf): Uint8Array {
  const text = new TextEncoder();
  const names = text.encode(`\0${symbols.map((symbol) => `${symbol.name}\0`).join("")}`);
  const phOffset = 64;
  const dataOffset = phOffset + segments.length * 56;
  const symbolsOffset = dataOffset + segments.reduce((sum, { data }) => sum + data.length, 0);
  const namesOffset = symbolsOffset + symbols.length * 24;
  const shOffset = namesOffset + names.length;
  const bytes = new Uint8Array(shOffset + 4 * 64);
  const view = new DataView(bytes.buffer);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, 243, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, entry ?? BigInt(segments[0]?.address ?? 0), true);
  view.setBigUint64(32, BigInt(phOffset), true);
  view.setBigUint64(40, BigInt(shOffset), true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 4, true);

  let at = dataOffset;
  for (const [i, segment] of segments.entries()) {
    const header = phOffset + i * 56;
    view.setUint32(header, segment.type ?? 1, true);
    view.setUint32(header + 4, 7, true);
    view.setBigUint64(header + 8, BigInt(at), true);
    view.setBigUint64(header + 16, segment.virtualAddress ?? BigInt(segment.address), true);
    view.setBigUint64(header + 24, BigInt(segment.address), true);
    view.setBigUint64(header + 32, BigInt(segment.data.length), true);
    view.setBigUint64(header + 40, BigInt(segment.memorySize ?? segment.data.length), true);
    bytes.set(segment.data, at);
    at += segment.data.length;
  }

  let name = 1;
  for (const [i, symbol] of symbols.entries()) {
    const entryAt = symbolsOffset + i * 24;
    view.setUint32(entryAt, name, true);
    view.setUint8(entryAt + 4, 0x10 | (symbol.type ?? 2));
    view.setUint16(entryAt + 6, 1, true);
    view.setBigUint64(entryAt + 8, symbol.value, true);
    view.setBigUint64(entryAt + 16, symbol.size ?? 0n, true);
    name += text.encode(symbol.name).length + 1;
  }
  bytes.set(names, namesOffset);

  // Sections: 0 none, 1 code (without contents here), 2 symbols, 3 their names.
  const section = (index: number, kind: number, flags: bigint, offset: number, size: number, link: number) => {
    const header = shOffset + index * 64;
    view.setUint32(header + 4, kind, true);
    view.setBigUint64(header + 8, flags, true);
    view.setBigUint64(header + 24, BigInt(offset), true);
    view.setBigUint64(header + 32, BigInt(size), true);
    view.setUint32(header + 40, link, true);
  };
  section(1, 1, 6n, 0, 0, 0);
  section(2, 2, 0n, symbolsOffset, symbols.length * 24, 3);
  section(3, 3, 0n, namesOffset, names.length, 0);
  return bytes;
}
