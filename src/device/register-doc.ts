// The registers of a device as a Markdown page: the part of its manual that its definition already says.

import type { BankInfo, FieldInfo, RegisterInfo, RegisterMap } from "./model/register-map.ts";

/**
 * The register tables of a device in Markdown.
 *
 * @returns the text of a section: a table of registers, and one of fields for each register that has some
 * @example writeFileSync("banana-dma.md", `# banana-dma\n\n${registerDoc(bananaDma.registerMap)}`);
 */
export function registerDoc(map: RegisterMap): string {
  const parts = [
    ...(map.registers.length > 0 ? [table(map.registers, "")] : []),
    ...map.registers.flatMap((register) => fieldsOf(register, "")),
    ...map.banks.flatMap(bankDoc),
  ];
  return parts.length === 0 ? "No registers are declared.\n" : `${parts.join("\n\n")}\n`;
}

function bankDoc(bank: BankInfo): string[] {
  const { name, count, offset, stride, registers } = bank;
  const prefix = `${name}[0..${count - 1}].`;
  return [
    `${count} × \`${name}\` at ${hex(offset)}, one every ${hex(stride)} bytes; offsets from the beginning of each:`,
    table(registers, prefix),
    ...registers.flatMap((register) => fieldsOf(register, prefix)),
  ];
}

function table(registers: readonly RegisterInfo[], prefix: string): string {
  const rows = registers.map((register) => {
    const { array, offset, width, access, reset, doc } = register;
    const at = array ? `${hex(offset)} + n × ${hex(array.stride)}` : hex(offset);
    return [at, code(nameOf(register, prefix)), String(width), access, reset, text(doc)];
  });
  return markdown(["offset", "register", "bits", "access", "reset", ""], rows);
}

function fieldsOf(register: RegisterInfo, prefix: string): string[] {
  if (register.fields.length === 0) return [];
  const rows = register.fields
    .toReversed()
    .map((field) => [
      field.msb === field.lsb ? String(field.lsb) : `${field.msb}:${field.lsb}`,
      code(field.name),
      field.sticky ? `${field.access}, sticky` : field.access,
      resetOf(field),
      text([field.doc, membersOf(field)].filter((part) => part !== undefined).join("; ")),
    ]);
  return [`\`${nameOf(register, prefix)}\``, markdown(["bits", "field", "access", "reset", ""], rows)];
}

function nameOf({ name, array }: RegisterInfo, prefix: string): string {
  return prefix + name + (array ? `[0..${array.count - 1}]` : "");
}

function resetOf({ reset, values }: FieldInfo): string {
  const name = Object.entries(values ?? {}).find(([, value]) => value === reset)?.[0];
  return name === undefined ? hex(reset) : code(name);
}

function membersOf({ values }: FieldInfo): string | undefined {
  if (values === undefined) return undefined;
  return Object.entries(values)
    .map(([name, value]) => `${value} \`${name}\``)
    .join(", ");
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function code(name: string): string {
  return `\`${name}\``;
}

/** Text that stays within its cell. */
function text(words = ""): string {
  return words.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
