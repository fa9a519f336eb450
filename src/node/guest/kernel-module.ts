// Reads and slims Linux kernel modules (64-bit little-endian relocatable ELF, System V ABI chapter 4; `.modinfo` and the
// loader's use of the symbol table: Linux kernel/module).
//
// A RISC-V module carries a local symbol for nearly every instruction that the linker might have relaxed: ext4.ko has
// 215,000, of which 6,000 are ever used. The kernel walks all of them, several times, at insmod; it also parses the module's
// type information (.BTF) and checks its signature. On an emulated hart that is 18 of the 27 seconds of a boot, so set-up
// keeps what relocations, exports and stack traces need and leaves out the rest.

import { UserError } from "../../util/user-error.ts";

const SHT_SYMTAB = 2;
const SHT_RELA = 4;
const SHT_NOBITS = 8;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const RELA = 24;
const STB_LOCAL = 0;
const STT_OBJECT = 1;
const STT_FUNC = 2;

interface Section {
  readonly header: DataView;
  readonly name: string;
  readonly type: number;
  readonly link: number;
  data: Uint8Array;
}

/** What a module says of itself in `.modinfo`: `depends`, `alias` (several), `softdep`, `vermagic`, ... */
export function readModuleInfo(module: Uint8Array): Map<string, string[]> {
  const info = new Map<string, string[]>();
  const section = readSections(module).find(({ name }) => name === ".modinfo");
  for (const line of new TextDecoder().decode(section?.data).split("\0")) {
    const equals = line.indexOf("=");
    if (equals < 0) continue;
    const key = line.slice(0, equals);
    info.set(key, [...(info.get(key) ?? []), line.slice(equals + 1)]);
  }
  return info;
}

/**
 * The module without unused local symbols, type information and signature. Functions and objects keep their names, for
 * stack traces and `kallsyms`. The kernel notes once that an unsigned module taints it.
 */
export function slimModule(module: Uint8Array): Uint8Array {
  const sections = readSections(module);
  const symbols = sections.find(({ type }) => type === SHT_SYMTAB);
  if (symbols !== undefined) slimSymbols(sections, symbols);
  for (const section of sections) if (section.name === ".BTF") section.data = new Uint8Array();
  return writeSections(module, sections);
}

function readSections(module: Uint8Array): Section[] {
  const view = new DataView(module.buffer, module.byteOffset, module.byteLength);
  if (module.length < 64 || view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201) {
    throw new UserError("a kernel module of the guest is not a 64-bit little-endian ELF file");
  }
  const table = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const slice = (offset: number, length: number): Uint8Array => {
    if (offset + length > module.length) throw new UserError("a kernel module of the guest is truncated");
    return module.subarray(offset, offset + length);
  };
  const headers = Array.from({ length: count }, (_, i) => {
    const bytes = new Uint8Array(slice(table + i * SECTION_HEADER, SECTION_HEADER));
    return new DataView(bytes.buffer);
  });
  const data = headers.map((header) =>
    header.getUint32(4, true) === SHT_NOBITS
      ? new Uint8Array()
      : slice(Number(header.getBigUint64(24, true)), Number(header.getBigUint64(32, true))),
  );
  const names = data[view.getUint16(62, true)] ?? new Uint8Array();
  return headers.map((header, i) => ({
    header,
    name: stringAt(names, header.getUint32(0, true)),
    type: header.getUint32(4, true),
    link: header.getUint32(40, true),
    data: data[i]!,
  }));
}

function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  return new TextDecoder().decode(table.subarray(offset, end < 0 ? table.length : end));
}

function slimSymbols(sections: readonly Section[], table: Section): void {
  const old = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
  const count = Math.floor(table.data.length / SYMBOL);
  const strings = sections[table.link]!;
  const relocations = sections.filter(({ type }) => type === SHT_RELA);
  // The tables are patched below: copies, because the sections are views of the caller's bytes.
  for (const section of relocations) section.data = new Uint8Array(section.data);
  const entries = relocations.flatMap(({ data }) => {
    const view = new DataView(data.buffer);
    return Array.from({ length: Math.floor(data.length / RELA) }, (_, i) => ({ view, symbolAt: i * RELA + 12 }));
  });

  const used = new Uint8Array(count);
  used[0] = 1; // the null symbol
  for (const { view, symbolAt } of entries) used[view.getUint32(symbolAt, true)] = 1;
  const isNamed = (i: number): boolean => {
    const info = old.getUint8(i * SYMBOL + 4);
    return info >> 4 !== STB_LOCAL || (info & 15) === STT_FUNC || (info & 15) === STT_OBJECT;
  };
  const kept = Array.from({ length: count }, (_, i) => i).filter((i) => used[i] === 1 || isNamed(i));

  const renumbered = new Uint32Array(count);
  const symbols = new Uint8Array(kept.length * SYMBOL);
  const view = new DataView(symbols.buffer);
  const names: Uint8Array[] = [new Uint8Array(1)];
  let namesLength = 1;
  kept.forEach((i, index) => {
    renumbered[i] = index;
    symbols.set(table.data.subarray(i * SYMBOL, (i + 1) * SYMBOL), index * SYMBOL);
    const start = old.getUint32(i * SYMBOL, true);
    const end = strings.data.indexOf(0, start);
    view.setUint32(index * SYMBOL, end === start ? 0 : namesLength, true);
    if (end > start) {
      names.push(strings.data.subarray(start, end + 1));
      namesLength += end + 1 - start;
    }
  });
  for (const { view: rela, symbolAt } of entries) {
    rela.setUint32(symbolAt, renumbered[rela.getUint32(symbolAt, true)]!, true);
  }
  table.data = symbols;
  strings.data = Buffer.concat(names);
  const firstGlobal = kept.findIndex((i) => old.getUint8(i * SYMBOL + 4) >> 4 !== STB_LOCAL);
  table.header.setUint32(44, firstGlobal < 0 ? kept.length : firstGlobal, true); // sh_info
}

/** Lays the sections out anew in their old order, each at its alignment, and the section headers after them. */
function writeSections(module: Uint8Array, sections: readonly Section[]): Uint8Array {
  let end = 64;
  const offsets = sections.map(({ header, data }) => {
    const alignment = Math.max(Number(header.getBigUint64(48, true)), 1);
    const offset = Math.ceil(end / alignment) * alignment;
    end = offset + data.length;
    return offset;
  });
  const table = Math.ceil(end / 8) * 8;
  const bytes = new Uint8Array(table + sections.length * SECTION_HEADER);
  bytes.set(module.subarray(0, 64));
  new DataView(bytes.buffer).setBigUint64(40, BigInt(table), true); // e_shoff
  sections.forEach(({ header, type, data }, i) => {
    bytes.set(data, offsets[i]);
    header.setBigUint64(24, BigInt(offsets[i]!), true);
    if (type !== SHT_NOBITS) header.setBigUint64(32, BigInt(data.length), true);
    bytes.set(new Uint8Array(header.buffer), table + i * SECTION_HEADER);
  });
  return bytes;
}
