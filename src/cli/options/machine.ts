// Options for the board itself: its type, harts, memory, what it boots, random sources, defaults for properties.

import type { FwCfgConfig, GlobalProperty, Topology } from "../../machine/config.ts";
import { UserError } from "../../util/user-error.ts";
import { isHelp, listOf, OptionValues, splitKeyValues } from "../key-values.ts";
import type { Draft, TypeDraft } from "./draft.ts";

/** Adds what an option says of a type and its properties; later options win. */
function addToType(target: TypeDraft, option: OptionValues): void {
  const type = option.text("type");
  if (type === "") throw option.error("the type's name is missing");
  if (type !== undefined) target.type = type;
  for (const [name, value] of Object.entries(option.rest())) {
    target.properties.set(name, { value, where: option.where });
  }
  target.where = option.where;
}

export function machine(draft: Draft, value: string, where: string): void {
  const pairs = splitKeyValues(value, "type");
  const wantsHelp = pairs.some((pair) => isHelp(pair.key));
  if (pairs.some((pair) => pair.key === "type" && isHelp(pair.value))) {
    draft.help ??= { kind: "machines" };
    return;
  }
  addToType(
    draft.machine,
    new OptionValues(
      where,
      pairs.filter((pair) => !isHelp(pair.key)),
    ),
  );
  if (wantsHelp) draft.help ??= { kind: "machine-properties" };
}

export function cpu(draft: Draft, value: string, where: string): void {
  const pairs = splitKeyValues(value, "type");
  if (pairs.some((pair) => isHelp(pair.key) || isHelp(pair.value))) {
    draft.help ??= { kind: "cpus" };
    return;
  }
  addToType(draft.cpu, new OptionValues(where, pairs));
}

export function accel(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "accel"));
  const names = option.required("accel", "the name of an accelerator");
  if (isHelp(names)) {
    draft.help ??= { kind: "accelerators" };
    return;
  }
  // What QEMU's translator is told about its threads and memory has no meaning here.
  option.ignore("thread", "tb-size", "split-wx", "one-insn-per-tb");
  option.finish();
  draft.accel = chooseAccelerator(names, where);
}

/** `accel=A:B:...`: the first one that can be had is taken. QEMU's translator is called tcg; ours is jit. */
export function chooseAccelerator(names: string, where: string): "interp" | "jit" {
  for (const name of names.split(":")) {
    if (name === "interp") return "interp";
    if (name === "jit" || name === "tcg") return "jit";
  }
  throw new UserError(`${where}: there is no accelerator "${names}": Plantain has jit (also called tcg) and interp`);
}

/** `-icount [shift=]N[,sleep=on|off]`: time by instructions. */
export function icount(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "shift"));
  const text = option.required("shift", "0 to 10: an instruction takes 2^shift ns");
  const shift = text === "auto" ? 0 : Number(text);
  if (text === "auto") throw new UserError(`${where}: shift=auto is not in Plantain yet: give a number from 0 to 10`);
  if (!/^\d+$/.test(text) || shift > 10)
    throw new UserError(`${where}: shift=${text}: expected a number from 0 to 10: an instruction takes 2^shift ns`);
  const sleep = option.bool("sleep") ?? true;
  option.ignore("align");
  option.finish();
  draft.icount = { shift, sleep };
}

export function enableKvm(_draft: Draft, _value: string, where: string): void {
  throw new UserError(`${where}: Plantain always emulates and does not use KVM: leave the option out`);
}

export function smp(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "cpus"));
  const count = (key: string) => option.integer(key, 1, 65536);
  let cpus = count("cpus");
  let maxCpus = count("maxcpus");
  let sockets = count("sockets");
  let cores = count("cores");
  let threads = count("threads");
  for (const key of ["dies", "clusters"]) {
    if ((count(key) ?? 1) > 1) throw option.error(`${key}= must be 1: the virt board does not group harts so`);
  }
  option.finish();

  // What is not given follows from the rest, cores first, as in QEMU since 6.2.
  maxCpus ??= cpus;
  if (maxCpus !== undefined) {
    if (cores === undefined) {
      cores = Math.floor(maxCpus / ((sockets ?? 1) * (threads ?? 1)));
    } else {
      sockets ??= Math.max(1, Math.floor(maxCpus / (cores * (threads ?? 1))));
      threads ??= Math.floor(maxCpus / (sockets * cores));
    }
  }
  sockets ??= 1;
  cores ??= 1;
  threads ??= 1;
  const product = sockets * cores * threads;
  maxCpus ??= product;
  cpus ??= maxCpus;
  if (product !== maxCpus) {
    throw option.error(
      `sockets (${sockets}) * cores (${cores}) * threads (${threads}) must be the number of harts, which is ${maxCpus}`,
    );
  }
  if (cpus > maxCpus) throw option.error(`maxcpus=${maxCpus}: expected at least the ${cpus} harts at the start`);
  draft.smp = { cpus, maxCpus, sockets, cores, threads } satisfies Topology;
  draft.where.set("smp", where);
}

export function memory(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "size"));
  const size = option.size("size", "M");
  // Memory that can be plugged in later: the virt board has no such slots, QEMU takes the numbers all the same.
  option.size("maxmem", "B");
  option.integer("slots", 0, 65536);
  option.finish();
  if (size === undefined) throw option.error("size= is missing: expected a size such as 512M");
  if (size === 0n) throw option.error("a machine needs memory: expected a size such as 128M");
  // QEMU rounds up to 8 KiB. Above 2^53 the number is inexact, which does not matter to the check of the upper bound.
  draft.memory = Number(((size + 8191n) / 8192n) * 8192n);
  draft.where.set("memory", where);
}

/** An option whose value is a file. */
export function file(key: "kernel" | "dtb"): (draft: Draft, value: string, where: string) => void {
  return (draft, value, where) => {
    if (value === "") throw new UserError(`${where}: the name is empty: expected a file`);
    draft[key] = value;
  };
}

export function initrd(draft: Draft, value: string, where: string): void {
  if (value === "") throw new UserError(`${where}: the name is empty: expected a file`);
  draft.initrd = value;
  draft.where.set("initrd", where);
}

export function append(draft: Draft, value: string, where: string): void {
  draft.append = value;
  draft.where.set("append", where);
}

export function bios(draft: Draft, value: string, where: string): void {
  if (value === "") throw new UserError(`${where}: the name is empty: expected a file, none or default`);
  draft.firmware = value === "none" || value === "default" ? { kind: value } : { kind: "file", path: value };
}

export function dataPath(draft: Draft, value: string, where: string): void {
  if (value === "") throw new UserError(`${where}: the name is empty: expected a folder`);
  draft.dataPaths.push(value);
}

const OBJECT_TYPES = ["rng-builtin", "rng-random"] as const;

export function object(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "qom-type"));
  const type = option.required("qom-type", "the type of the object");
  if (isHelp(type)) {
    draft.help ??= { kind: "objects" };
    return;
  }
  if (QEMU_OBJECTS.includes(type)) throw option.error(`objects of type ${type} are not in Plantain yet`);
  new OptionValues(where, [{ key: "type", value: type }]).oneOf("type", OBJECT_TYPES);
  const id = option.requiredId();
  const path = type === "rng-random" ? (option.text("filename") ?? "/dev/urandom") : undefined;
  option.finish();
  if (draft.rngs.some((rng) => rng.id === id)) throw option.error(`there is another object with id=${id}`);
  draft.rngs.push(path === undefined ? { type: "rng-builtin", id, where } : { type: "rng-random", id, path, where });
}

const QEMU_OBJECTS: readonly string[] = [
  "authz-list",
  "authz-simple",
  "cryptodev-backend-builtin",
  "filter-dump",
  "iothread",
  "memory-backend-file",
  "memory-backend-memfd",
  "memory-backend-ram",
  "rng-egd",
  "secret",
  "throttle-group",
  "tls-creds-anon",
  "tls-creds-psk",
  "tls-creds-x509",
];

export function global(draft: Draft, value: string, where: string): void {
  const match = /^([^.=,]+)\.([^=]+)=(.*)$/s.exec(value);
  let property: GlobalProperty;
  if (match !== null) {
    property = { driver: match[1]!, property: match[2]!, value: match[3]!, where };
  } else {
    const option = new OptionValues(where, splitKeyValues(value));
    const form = "expected DRIVER.PROPERTY=VALUE";
    const [driver, name, text] = [option.text("driver"), option.text("property"), option.text("value")];
    if (driver === undefined || name === undefined || text === undefined) throw option.error(form);
    option.finish();
    property = { driver, property: name, value: text, where };
  }
  draft.globals.push(property);
}

export function fwCfg(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "name"));
  const name = option.required("name", "the item's name, such as opt/org.example/item");
  const path = option.text("file");
  const text = option.text("string");
  option.notYet("gen_id");
  option.finish();
  // The directory entry's name field: 56 bytes, the last one a NUL.
  if (Buffer.byteLength(name) > 55)
    throw option.error(`the item's name has ${Buffer.byteLength(name)} bytes: expected at most 55`);
  if ((path === undefined) === (text === undefined)) throw option.error("expected either file= or string=");
  if (draft.fwCfg.some((item) => item.name === name)) throw option.error(`there is another item with name=${name}`);
  if (!name.startsWith("opt/")) {
    draft.warnings.push(`${where}: names that do not begin with "opt/" are reserved for the machine itself`);
  }
  const content: FwCfgConfig["content"] = path === undefined ? { text: text! } : { path };
  draft.fwCfg.push({ name, content, where });
}

export function rtc(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value));
  const base = option.text("base");
  const clock = option.oneOf("clock", ["host", "rt", "vm"]);
  option.oneOf("driftfix", ["none", "slew"]);
  option.finish();
  if (clock === "vm") throw option.error("clock=vm: not in Plantain yet");
  if (base === undefined) return;
  if (base === "utc" || base === "localtime") {
    draft.rtcBase = base;
    return;
  }
  const time = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$/.test(base)
    ? Date.parse(base.includes("T") ? `${base}Z` : base)
    : Number.NaN;
  if (Number.isNaN(time)) {
    throw option.error(`base=${base}: expected ${listOf(["utc", "localtime", "a date such as 2006-06-17T16:01:21"])}`);
  }
  draft.rtcBase = time;
}
