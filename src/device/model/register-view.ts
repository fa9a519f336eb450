// Registers as the model and tests see them: `STATUS.DONE = true`, `LEN.value`. Assigning has no side effects.

import { didYouMean } from "../../util/nearest.ts";
import type { Cell } from "./layout.ts";
import type { RegisterFile } from "./register-file.ts";
import type { RegisterInfo, RegisterMap } from "./register-map.ts";

/** The device, as far as views are concerned. */
export interface ViewOwner {
  /** Counts a use, so that a loop without end is noticed. */
  use(): void;
  /** Asks whether registers may be assigned now; complains if not. */
  assigning(): void;
  /** Something was assigned. */
  assigned(): void;
}

const FILE = Symbol("file");
const CELL = Symbol("cell");
const OWNER = Symbol("owner");

/** The base of all views. Its own properties are symbols: names belong to the author. */
class View {
  readonly [FILE]: RegisterFile;
  readonly [CELL]: Cell;
  readonly [OWNER]: ViewOwner;

  constructor(file: RegisterFile, cell: Cell, owner: ViewOwner) {
    this[FILE] = file;
    this[CELL] = cell;
    this[OWNER] = owner;
    Object.preventExtensions(this);
  }

  get value(): number | bigint {
    const file = this[FILE];
    const cell = this[CELL];
    this[OWNER].use();
    if (file.hasDerived) file.refresh(cell);
    return file.valueOf(cell);
  }

  set value(value: number | bigint) {
    const owner = this[OWNER];
    owner.use();
    owner.assigning();
    refuseDerived(this);
    this[FILE].setValue(this[CELL], value);
    owner.assigned();
  }
}

type ViewClass = new (file: RegisterFile, cell: Cell, owner: ViewOwner) => View;

/** A class for the views of one kind of register: all devices of a type share it. */
function viewClass(info: RegisterInfo): ViewClass {
  const Register = class extends View {};
  for (const [k, { name, access }] of info.fields.entries()) {
    if (access === "pulse" || access === "reserved") continue;
    Object.defineProperty(Register.prototype, name, {
      enumerable: true,
      get(this: View) {
        const file = this[FILE];
        const cell = this[CELL];
        this[OWNER].use();
        if (file.hasDerived) file.refresh(cell);
        return file.fieldOf(cell, cell.fields[k]!);
      },
      ...(access !== "constant" && {
        set(this: View, value: unknown) {
          const owner = this[OWNER];
          owner.use();
          owner.assigning();
          refuseDerived(this, k);
          this[FILE].setField(this[CELL], this[CELL].fields[k]!, value);
          owner.assigned();
        },
      }),
    });
  }
  return Register;
}

function refuseDerived(view: View, k?: number): void {
  const file = view[FILE];
  const cell = view[CELL];
  const field = k === undefined ? undefined : cell.fields[k]!;
  if (!file.hasDerived || !file.readHookOf(cell, field)?.derived) return;
  const name = field === undefined ? cell.name : `${cell.name}.${field.info.name}`;
  throw new TypeError(`${name} is derived: it cannot be assigned`);
}

/** Makes the views of a map's registers; once per definition. */
export class ViewFactory {
  readonly #map: RegisterMap;
  readonly #classes = new Map<RegisterInfo, ViewClass>();

  constructor(map: RegisterMap) {
    this.#map = map;
    const infos = [...map.registers, ...map.banks.flatMap((bank) => bank.registers)];
    for (const info of infos) this.#classes.set(info, viewClass(info));
  }

  /** The views of a device's registers by name. Those of arrays and banks are made when they are first looked at. */
  create(file: RegisterFile, owner: ViewOwner): object {
    const views: Record<string, unknown> = {};
    const element = (info: RegisterInfo, name: string): unknown => {
      const make = (cell: Cell | undefined) => new (this.#classes.get(info)!)(file, cell!, owner);
      const { byName } = file.layout;
      if (info.array === undefined) return make(byName.get(name));
      return listOf(name, info.array.count, (i) => make(byName.get(`${name}[${i}]`)));
    };
    for (const info of this.#map.registers) {
      if (info.array === undefined) views[info.name] = element(info, info.name);
      else lazily(views, info.name, () => element(info, info.name));
    }
    for (const { name, count, registers } of this.#map.banks) {
      const group = (i: number) =>
        Object.freeze(
          Object.fromEntries(registers.map((info) => [info.name, element(info, `${name}[${i}].${info.name}`)])),
        );
      lazily(views, name, () => listOf(name, count, group));
    }
    return Object.freeze(views);
  }
}

function listOf(name: string, count: number, make: (index: number) => unknown): readonly unknown[] {
  const list = Array.from({ length: count }, (_, i) => make(i));
  const at = (index: number) => {
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new RangeError(`${name}[${index}]: there are ${name}[0] to ${name}[${count - 1}]`);
    }
    return list[index];
  };
  return Object.freeze(Object.defineProperty(list, "at", { value: at }));
}

function lazily(object: object, name: string, make: () => unknown): void {
  let made: unknown;
  Object.defineProperty(object, name, { enumerable: true, get: () => (made ??= make()) });
}

/**
 * The same object, but a name that it does not have is an error: for authors whom no compiler warns.
 *
 * @param what the names are of: "register"
 * @param complain throws
 */
export function strict<T extends object>(object: T, what: string, complain: (message: string) => never): T {
  return new Proxy(object, {
    get(target, name) {
      if (typeof name === "symbol" || name in target) return Reflect.get(target, name);
      return complain(`there is no ${what} "${name}"${didYouMean(name, Object.keys(target))}`);
    },
  });
}
