// What -help and the `help` values print.

import type { PropertyInfo } from "../qom/property.ts";
import { propertiesOf } from "../qom/type-info.ts";
import { type Catalog, deviceTypes, findBoard, findDevice } from "./catalog.ts";
import { COMMANDS } from "./commands/table.ts";
import type { Draft, HelpTopic } from "./options/draft.ts";
import { LOG_ITEMS } from "./options/run.ts";
import { GROUPS, LATER_OPTIONS, OPTIONS, type OptionSpec } from "./options/table.ts";

/** Marks headings; on a terminal it may make them bold. */
export type Emphasis = (text: string) => string;

const EXAMPLE = `plantain -M virt -bios fw_jump.elf -kernel Image -append "rootwait root=/dev/vda ro" \\
    -drive file=rootfs.ext2,format=raw,id=hd0 -device virtio-blk-device,drive=hd0 \\
    -netdev user,id=net0 -device virtio-net-device,netdev=net0 -nographic`;

const HELP_COLUMN = 26;
const WIDTH = 100;

/** The answer to a request for help, with its last newline. @throws UserError for an unknown type */
export function helpText(topic: HelpTopic, draft: Draft, catalog: Catalog, version: string, strong: Emphasis): string {
  switch (topic.kind) {
    case "usage":
      return usage(version, strong);
    case "version":
      return `Plantain emulator version ${version}\n`;
    case "machines":
      return list(strong("Machines:"), catalog.boards);
    case "cpus":
      return catalog.cpus.map((cpu) => propertyList(cpu.name, cpu.description, cpu.properties, strong)).join("\n");
    case "objects":
      return list(strong("Objects:"), [
        { name: "rng-builtin", description: "random numbers from Plantain's host" },
        { name: "rng-random", description: "random numbers from a file (filename=/dev/urandom)" },
      ]);
    case "netdevs":
      return list(strong("Networks:"), [
        { name: "user", description: "DHCP, DNS and ways out to the host's network, without privileges" },
      ]);
    case "chardevs":
      return list(strong("Character devices:"), [
        { name: "file", description: "path=FILE[,append=on]: what the guest sends goes to a file" },
        { name: "null", description: "nowhere" },
        { name: "pipe", description: "path=FILE: the pipes FILE.in and FILE.out, or FILE alone" },
        { name: "socket", description: "host=HOST,port=PORT or path=FILE[,server=on[,wait=off]][,reconnect=SECONDS]" },
        { name: "stdio", description: "this terminal[,signal=off]" },
      ]);
    case "drives":
      return list(strong("Image formats:"), [{ name: "raw", description: "the bytes as they are" }]);
    case "log-items":
      return list(
        strong("Log items:"),
        Object.entries(LOG_ITEMS).map(([name, description]) => ({ name, description })),
      );
    case "accelerators":
      return list(strong("Accelerators:"), [
        { name: "jit", description: "hot code is translated to WebAssembly, the rest interpreted (also: tcg)" },
        { name: "interp", description: "everything is interpreted" },
      ]);
    case "displays":
      return list(strong("Displays:"), [{ name: "none", description: "no display, and no console by itself" }]);
    case "machine-properties": {
      const board = findBoard(catalog, draft.machine.type ?? "virt", draft.machine.where);
      return propertyList(`machine ${board.name}`, board.description, board.properties, strong);
    }
    case "devices": {
      const board = findBoard(catalog, draft.machine.type ?? "virt", draft.machine.where);
      return list(strong(`Devices for the ${board.name} board:`), deviceTypes(board));
    }
    case "type-properties": {
      const board = findBoard(catalog, draft.machine.type ?? "virt", draft.machine.where);
      const type = findDevice(board, topic.type, topic.where);
      return propertyList(type.name, type.description, Object.fromEntries(propertiesOf(type)), strong);
    }
  }
}

function usage(version: string, strong: Emphasis): string {
  const lines = [
    `Plantain ${version}: a RISC-V 64 machine for devices that do not exist yet`,
    "",
    `${strong("usage:")} plantain [OPTION...] [DISK-IMAGE]`,
    "",
    strong("Linux with the banana ROM"),
    `  ${EXAMPLE}`,
    "  Log in as root; `devmem 0x4000000` answers 0xBA000001. `-M virt,banana-rom=off` is the board without it.",
    "  On the console, Ctrl-A x ends and Ctrl-A h shows the other keys.",
    "",
    strong("In place of options"),
    ...COMMANDS.flatMap(({ name, form, help }) => entry(`plantain ${name} ${form}`, help)),
    "",
    "The options are those of qemu-system-riscv64, with one dash or two; a double comma stands for a comma in a value.",
  ];
  for (const group of GROUPS) {
    lines.push("", strong(group));
    for (const option of OPTIONS) if (option.group === group) lines.push(...entry(form(option), option.help));
  }
  lines.push("", strong("QEMU's options that are not here yet"));
  lines.push(...wrap(LATER_OPTIONS.map((name) => `-${name}`).join(" "), "  "));
  return `${lines.join("\n")}\n`;
}

function form({ name, alias, argument }: OptionSpec): string {
  const names = alias === undefined ? `-${name}` : `-${alias}, -${name}`;
  return argument === undefined ? names : `${names} ${argument}`;
}

/** A name or form, and what it means beside or below it. */
function entry(head: string, text: string): string[] {
  const indent = " ".repeat(HELP_COLUMN);
  const body = wrap(text, indent);
  const first = `  ${head}`;
  if (first.length >= HELP_COLUMN - 1) return [first, ...body];
  return [first.padEnd(HELP_COLUMN) + body[0]!.trimStart(), ...body.slice(1)];
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line !== indent && line.length + word.length >= WIDTH) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

function list(heading: string, entries: readonly { readonly name: string; readonly description?: string }[]): string {
  const lines = entries.flatMap(({ name, description }) => entry(name, description ?? ""));
  return `${[heading, ...lines].join("\n")}\n`;
}

function propertyList(
  name: string,
  description: string | undefined,
  properties: Readonly<Record<string, PropertyInfo>>,
  strong: Emphasis,
): string {
  const about = description === undefined ? "" : `: ${description}`;
  const lines = [strong(`${name}${about}`)];
  for (const [property, info] of Object.entries(properties)) {
    const values = info.values?.join("|") ?? (info.type === "bool" ? "on|off" : info.type.toUpperCase());
    const standard = info.default === undefined || info.default === "" ? "" : ` (${shownDefault(info.default)})`;
    lines.push(...entry(`${property}=${values}`, `${info.description ?? ""}${standard}`.trim()));
  }
  if (lines.length === 1) lines.push("  (no properties)");
  return `${lines.join("\n")}\n`;
}

function shownDefault(value: NonNullable<PropertyInfo["default"]>): string {
  return typeof value === "boolean" ? (value ? "on" : "off") : String(value);
}
