// From the spec of a device to its register map, with everything that types cannot refuse refused.

import { IoCallbacks } from "../../memory/io-callbacks.ts";
import { checkValue } from "../../qom/property.ts";
import { didYouMean } from "../../util/nearest.ts";
import type { UserError } from "../../util/user-error.ts";
import { checkRegisters } from "./check-registers.ts";
import { isAsync, isEdge } from "./context.ts";
import { DefinitionError } from "./device-error.ts";
import { hex, show } from "./message-format.ts";
import type { PropertySpecs } from "./properties.ts";
import type { IrqInfo, RegisterMap } from "./register-map.ts";
import { siteOf } from "./source-line.ts";
import type { AnySpec, IrqSpecs } from "./spec.ts";

const TYPE_NAME = /^[A-Za-z0-9][A-Za-z0-9,._-]*$/;
const IRQ_NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const PROPERTY_NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;
/** Offsets are 32-bit numbers on the way to a register. */
const MAX_SIZE = 2 ** 32;

const SPEC_KEYS: readonly (keyof AnySpec)[] = [
  "type",
  "description",
  "compatible",
  "deviceTree",
  "mmio",
  "registers",
  "properties",
  "irqs",
  "state",
  "setup",
];
const MMIO_KEYS: readonly (keyof AnySpec["mmio"])[] = [
  "size",
  "unmapped",
  "read",
  "write",
  "valid",
  "impl",
  "endianness",
];
/** What `-device` and configurations say of any device. */
const TAKEN_PROPERTIES = ["id", "addr", "irq", "bus"];

/**
 * Checks a spec.
 * @throws DefinitionError, in one line
 */
export function checkDevice(spec: AnySpec): RegisterMap {
  const line = siteOf(spec);
  const { type, description, mmio } = spec;
  const complain = (message: string): never => {
    throw new DefinitionError(`${typeof type === "string" ? type : "defineDevice"}: ${message}${line}`);
  };
  const checkKeys = (where: string, object: object, known: readonly string[]) => {
    for (const key of Object.keys(object)) {
      if (!known.includes(key)) complain(`there is no ${where} "${key}"${didYouMean(key, known)}`);
    }
  };

  if (typeof type !== "string" || !TYPE_NAME.test(type)) {
    complain(`${show(type)} is no type: expected a name such as "banana-dma"`);
  }
  checkKeys("part of a device", spec, SPEC_KEYS);
  if (typeof mmio !== "object" || mmio === null) complain("mmio is missing: mmio: { size: 0x100 }");
  checkKeys("option of mmio", mmio, MMIO_KEYS);
  checkMmio(spec, complain);
  const compatible = typeof spec.compatible === "string" ? [spec.compatible] : (spec.compatible ?? []);
  for (const name of compatible) {
    if (typeof name !== "string" || !/^[\x21-\x7e]+$/.test(name)) {
      complain(`compatible: ${show(name)} is no name: expected one such as "acme,banana-dma"`);
    }
  }
  if (spec.deviceTree !== undefined && compatible.length === 0) {
    complain("deviceTree without compatible: there would be no node");
  }
  if (spec.setup !== undefined && typeof spec.setup !== "function") complain("setup is no function");
  checkVariables(spec, complain);
  return {
    type,
    ...(description !== undefined && { description }),
    compatible: [...compatible],
    size: mmio.size,
    endianness: mmio.endianness ?? "little",
    ...checkRegisters(spec),
    irqs: checkIrqs(spec.irqs ?? [], complain),
    properties: checkProperties(type, spec.properties ?? {}),
  };
}

function checkMmio({ type, mmio }: AnySpec, complain: (message: string) => never): void {
  const { size, unmapped, valid, impl, endianness, read, write } = mmio;
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) {
    complain(`mmio.size: ${show(size)} is not between 1 and ${hex(MAX_SIZE)} bytes`);
  }
  if (unmapped !== undefined && !(Number.isInteger(unmapped) && unmapped >= 0 && unmapped <= 0xffff_ffff)) {
    complain(`mmio.unmapped: ${show(unmapped)} does not fit in 32 bits`);
  }
  if (unmapped !== undefined && read !== undefined) {
    complain("mmio.unmapped and mmio.read both say what reads give where no register is: give one");
  }
  if (endianness !== undefined && endianness !== "little" && endianness !== "big") {
    complain(`mmio.endianness: ${show(endianness)} is neither "little" nor "big"`);
  }
  for (const [name, constraints] of Object.entries({ valid, impl })) {
    for (const bound of [constraints?.min, constraints?.max]) {
      if (bound !== undefined && ![1, 2, 4, 8].includes(bound)) {
        complain(`mmio.${name}: ${show(bound)} is no size of an access: expected 1, 2, 4 or 8`);
      }
    }
  }
  for (const [name, run] of Object.entries({ read, write })) {
    if (run !== undefined && typeof run !== "function") complain(`mmio.${name} is no function`);
    if (isAsync(run)) complain(`mmio.${name}: a callback cannot be async, nobody would wait for it`);
  }
  try {
    new IoCallbacks(type, { ...(valid && { valid }), ...(impl && { impl }) });
  } catch {
    complain("mmio: the smallest access is larger than the largest");
  }
}

/** The author's variables must survive a snapshot. */
function checkVariables({ state }: AnySpec, complain: (message: string) => never): void {
  if (state === undefined) return;
  if (typeof state !== "function") complain("state is no function: state: () => ({ ... })");
  let variables: unknown;
  try {
    variables = state();
    structuredClone(variables);
  } catch (error) {
    complain(`state cannot be saved: ${(error as Error).message}`);
  }
  if (typeof variables !== "object" || variables === null || Symbol.iterator in variables) {
    complain("state gives no object with names: state: () => ({ count: 0 })");
  }
}

function checkIrqs(irqs: IrqSpecs, complain: (message: string) => never): IrqInfo[] {
  const names = new Set<string>();
  return irqs.map((irq) => {
    const name = isEdge(irq) ? irq.name : irq;
    if (typeof name !== "string" || !IRQ_NAME.test(name)) complain(`irqs: ${show(name)} is no name of an interrupt`);
    if (names.has(name)) complain(`irqs: there are two named "${name}"`);
    names.add(name);
    return { name, trigger: isEdge(irq) ? "edge" : "level" };
  });
}

function checkProperties(type: string, properties: PropertySpecs): RegisterMap["properties"] {
  return Object.entries(properties).map(([name, property]) => {
    const complain = (message: string): never => {
      throw new DefinitionError(`${type}.${name}: ${message}${siteOf(property)}`);
    };
    if (property?.kind !== "property") complain("is no property: make it with prop(...)");
    if (!PROPERTY_NAME.test(name)) complain(`"${name}" is no name of a property`);
    if (TAKEN_PROPERTIES.includes(name)) complain(`every device has an option "${name}": use another name`);
    const { default: value, ...info } = property.info;
    try {
      if (value !== undefined) checkValue("the default", property.info, value);
    } catch (error) {
      complain((error as UserError).message);
    }
    return {
      name,
      ...info,
      ...(value !== undefined && { default: typeof value === "bigint" ? String(value) : value }),
    };
  });
}
