// The whole state of a machine as data, and back. docs/design/snapshot.md.

import { loadTree, saveTree, type TreeState } from "../device/snapshot.ts";
import type { QomObject } from "../qom/object.ts";
import type { Hart } from "../riscv/hart.ts";
import { type Field, HART_STATE_SIZE, S } from "../riscv/layout.ts";
import { UserError } from "../util/user-error.ts";
import type { MemoryImage } from "./memory-image.ts";

/** The form of MachineState. A change of what the harts hold shows by itself, in `hartFields`. */
const VERSION = 1;

/** What a machine must have in common with the one whose state it takes over. */
export interface MachineShape {
  readonly board: string;
  readonly harts: number;
  /** Instruction-set extensions of the harts. */
  readonly extensions: string;
  /** RAM in bytes. */
  readonly memory: number;
  /** Nanoseconds that an instruction takes under -icount, as its shift; absent in real time. */
  readonly icount?: number;
}

/**
 * A machine at one moment: structured-clonable, never changed once it is made. Disks and the outside world are not in it.
 */
export interface MachineState {
  readonly version: number;
  readonly shape: MachineShape;
  /** Virtual time in nanoseconds. */
  readonly time: number;
  /** Where chance and the time of day are the machine's own: what they go on from. */
  readonly repeatable?: { readonly random: number; readonly started: bigint };
  /** Where the harts' fields are in their `area`. */
  readonly hartFields: string;
  readonly harts: readonly HartState[];
  readonly devices: TreeState;
  readonly memory: MemoryImage;
}

interface HartState {
  readonly area: Uint8Array;
  readonly waiting: boolean;
}

/** The fields that belong to the engine a hart runs in and not to what the guest sees. */
const ENGINE_FIELDS: readonly Field[] = [
  S.hartid,
  S.tlb,
  S.tlbX,
  S.contexts,
  S.useClock,
  S.scratchPage,
  S.traceTraps,
  S.callDepth,
];

const hartFields = (): string =>
  Object.entries(S)
    .map(([name, { offset }]) => `${name}@${offset}`)
    .join(" ");

/** @throws UserError if `state` is of another version or of another kind of machine */
export function checkFits(state: MachineState, shape: MachineShape): void {
  if (state.version !== VERSION || state.hartFields !== hartFields()) {
    throw new UserError("the snapshot was made by another version of Plantain: make it anew");
  }
  const names: Record<keyof MachineShape, string> = {
    board: "board",
    harts: "number of harts",
    extensions: "set of extensions",
    memory: "size of RAM in bytes",
    icount: "-icount shift",
  };
  for (const [key, name] of Object.entries(names) as [keyof MachineShape, string][]) {
    const [has, wants] = [shape[key] ?? "none", state.shape[key] ?? "none"];
    if (has !== wants)
      throw new UserError(`the snapshot does not fit: its ${name} is ${wants}, this machine's is ${has}`);
  }
}

/** All of a state that is not the machine's memory. */
export function saveParts(
  shape: MachineShape,
  board: QomObject,
  harts: readonly Hart[],
): Pick<MachineState, "version" | "shape" | "hartFields" | "harts" | "devices"> {
  return {
    version: VERSION,
    shape,
    hartFields: hartFields(),
    harts: harts.map((hart) => ({ area: areaOf(hart).slice(), waiting: hart.waiting })),
    devices: saveTree(board),
  };
}

/**
 * Loads devices and harts; memory and time have been before.
 * @throws UserError if the machine has other devices than the snapshot
 */
export function loadParts(state: MachineState, board: QomObject, harts: readonly Hart[]): void {
  loadTree(board, state.devices);
  // After the devices: what their lines did to the harts meanwhile is in the harts' state already.
  for (const [n, hart] of harts.entries()) {
    const { area, waiting } = state.harts[n]!;
    const kept = ENGINE_FIELDS.map((field) => hart.get32(field));
    areaOf(hart).set(area);
    for (const [i, field] of ENGINE_FIELDS.entries()) hart.set32(field, kept[i]!);
    hart.waiting = waiting;
    hart.flushAll();
    hart.selectContexts();
    hart.timerChanged();
  }
}

const areaOf = (hart: Hart): Uint8Array => hart.engine.u8.subarray(hart.base, hart.base + HART_STATE_SIZE);
