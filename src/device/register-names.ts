// What the registers of a device are called that is written as a class: for traces, which know devices of the kit anyway.
// The same offset may have several names: what is read there and what is written, or what another register selects.

import { checkDevice } from "./model/check-device.ts";
import { expandRegisters, type PlacedRegister, type RegisterMap } from "./model/register-map.ts";
import type { RegisterSpecs } from "./model/registers.ts";
import type { AnySpec } from "./model/spec.ts";

/** Names for accesses to a device. */
export interface RegisterNames {
  /** All registers, those that share an offset one after the other. */
  readonly map: RegisterMap;
  /** Those that an access reaches, as things stand. */
  at(write: boolean, offset: number, size: number): readonly PlacedRegister[];
}

/**
 * Makes names from registers as the device kit writes them.
 *
 * @param device its type, its interrupt outputs, and the bytes of its region
 * @param views sets of registers that do not overlap in themselves
 * @param choose which of the sets an access is to; the first unless given
 */
export function registerNames(
  { type, irqs, size }: { readonly type: string; readonly irqs: readonly string[]; readonly size: number },
  views: readonly RegisterSpecs[],
  choose: (write: boolean, offset: number) => number = () => 0,
): RegisterNames {
  const maps = views.map((registers) => checkDevice({ type, mmio: { size }, registers } as unknown as AnySpec));
  const placed = maps.map(expandRegisters);
  const map: RegisterMap = {
    ...maps[0]!,
    registers: maps.flatMap(({ registers }) => registers),
    banks: maps.flatMap(({ banks }) => banks),
    irqs: irqs.map((name) => ({ name, trigger: "level" })),
  };
  return {
    map,
    at: (write, offset, bytes) => reached(placed[choose(write, offset)]!, offset, bytes),
  };
}

/** The registers, sorted by offset, that have bytes of an access. */
function reached(registers: readonly PlacedRegister[], offset: number, size: number): PlacedRegister[] {
  let [low, high] = [0, registers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { offset: begin, info } = registers[middle]!;
    if (begin + info.width / 8 <= offset) low = middle + 1;
    else high = middle;
  }
  const found: PlacedRegister[] = [];
  for (let n = low; n < registers.length && registers[n]!.offset < offset + size; n++) found.push(registers[n]!);
  return found;
}
