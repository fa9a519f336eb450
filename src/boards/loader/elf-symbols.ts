// The function symbols of an ELF64 little-endian file, for traces. System V ABI (gABI), "Symbol Table".
// Damage here never stops a boot: what cannot be read is left out.

/** A function's name and place. */
export interface FunctionSymbol {
  readonly name: string;
  /** Address in the file, virtual. */
  readonly value: bigint;
  /** Bytes; 0 where the file does not say. */
  readonly size: bigint;
}

const SHDR_SIZE = 64;
const SYM_SIZE = 24;

const SHT_SYMTAB = 2;
const SHF_EXECINSTR = 4n;
const STT_NOTYPE = 0;
const STT_FUNC = 2;

// Names may overlap in the file, so their total is bounded as well as each of them.
const MAX_NAME = 1024;
const MAX_NAMES_TOTAL = 64 * 1024 * 1024;

interface Section {
  readonly type: number;
  readonly flags: bigint;
  readonly link: number;
  readonly offset: number;
  readonly size: number;
}

/**
 * The functions of an ELF file, by rising address; labels in code without a type (assembly) count too.
 *
 * @param bytes A file whose ELF header has been checked.
 */
export function readFunctionSymbols(bytes: Uint8Array): FunctionSymbol[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections = readSections(view);
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  const strings = table && sections[table.link];
  if (!table || !strings) return [];

  const text = new TextDecoder();
  const names = bytes.subarray(strings.offset, strings.offset + strings.size);
  let nameBudget = MAX_NAMES_TOTAL;
  const functions: FunctionSymbol[] = [];
  for (let at = table.offset; at + SYM_SIZE <= table.offset + table.size; at += SYM_SIZE) {
    const type = view.getUint8(at + 4) & 0xf;
    const sectionIndex = view.getUint16(at + 6, true);
    const inCode = ((sections[sectionIndex]?.flags ?? 0n) & SHF_EXECINSTR) !== 0n;
    if (!inCode || (type !== STT_FUNC && type !== STT_NOTYPE)) continue;
    const nameStart = view.getUint32(at, true);
    const length = names.subarray(nameStart, nameStart + MAX_NAME).indexOf(0);
    // "$x" and ".L0" mark instruction sets and local branch targets.
    if (length <= 0 || names[nameStart] === 0x24 || names[nameStart] === 0x2e) continue;
    nameBudget -= length;
    if (nameBudget < 0) break;
    const name = text.decode(names.subarray(nameStart, nameStart + length));
    functions.push({ name, value: view.getBigUint64(at + 8, true), size: view.getBigUint64(at + 16, true) });
  }
  return functions.sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
}

/** The section headers; none if the table or any section with contents lies outside of the file. */
function readSections(view: DataView): Section[] {
  const offset = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  if (view.getUint16(58, true) !== SHDR_SIZE || offset + count * SHDR_SIZE > view.byteLength) return [];
  const sections: Section[] = [];
  for (let i = 0; i < count; i++) {
    const at = offset + i * SHDR_SIZE;
    const section: Section = {
      type: view.getUint32(at + 4, true),
      flags: view.getBigUint64(at + 8, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
    };
    const inFile = section.offset + section.size <= view.byteLength;
    sections.push(inFile ? section : { ...section, offset: 0, size: 0 });
  }
  return sections;
}
