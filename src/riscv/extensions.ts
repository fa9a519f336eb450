/** The extensions that a Plantain hart can have, in the order of the ISA string. */
const ORDER = [
  "i",
  "m",
  "a",
  "f",
  "d",
  "c",
  "zicbom",
  "zicbop",
  "zicboz",
  "zicntr",
  "zicond",
  "zicsr",
  "zifencei",
  "zihintpause",
  "zihpm",
  "zawrs",
  "zfh",
  "zba",
  "zbb",
  "zbc",
  "zbkb",
  "zbkx",
  "zbs",
  "sstc",
  "svadu",
  "svinval",
  "svnapot",
  "svpbmt",
] as const;

export const allExtensions: ReadonlySet<string> = new Set(ORDER);
/** Extensions that a hart cannot be without: Linux and firmware take them for granted, and so does the engine. */
export const baseExtensions: ReadonlySet<string> = new Set(["i", "m", "a", "c", "zicsr", "zifencei", "zicntr"]);

/** The list of the device tree's `riscv,isa-extensions`. */
export const isaExtensions = (extensions: ReadonlySet<string>): string[] => ORDER.filter((e) => extensions.has(e));

/** The value of `misa`: RV64 and a bit for each single-letter extension, S and U among them. */
export function misaValue(extensions: ReadonlySet<string>): bigint {
  let value = (2n << 62n) | (1n << 18n) | (1n << 20n);
  for (const e of extensions) if (e.length === 1) value |= 1n << BigInt(e.charCodeAt(0) - 97);
  return value;
}
