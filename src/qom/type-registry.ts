// The types that a machine offers by name, and the making of objects.

import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { QomObject } from "./object.ts";
import type { PropertyValue, ReferenceResolver } from "./property.ts";
import { isA, lineage, type TypeInfo } from "./type-info.ts";

/**
 * Makes an object of a type and sets its properties in the order given.
 * @throws UserError if the type is abstract or a property does not fit
 */
export function createObject<T extends QomObject>(
  type: TypeInfo<T>,
  properties: Readonly<Record<string, PropertyValue>> = {},
  resolve?: ReferenceResolver,
): T {
  const maker = lineage(type).find((ancestor) => ancestor.create !== undefined);
  if (type.abstract === true || maker === undefined) {
    throw new UserError(`${type.name} is an abstract type: choose one that inherits from it`);
  }
  // The type's author answers for an inherited `create` making a T.
  const object = maker.create!(type) as T;
  for (const [name, value] of Object.entries(properties)) object.set(name, value, resolve);
  return object;
}

/**
 * A set of types by name.
 *
 * @example
 * const types = new TypeRegistry();
 * types.register(bananaRomType);
 * const rom = types.create("banana-rom");
 */
export class TypeRegistry {
  readonly #types = new Map<string, TypeInfo>();

  /** Adds types and their ancestors. A type may be added again; another type of the same name is an error. */
  register(...types: readonly TypeInfo[]): void {
    for (const type of types) {
      for (const ancestor of lineage(type)) {
        const present = this.#types.get(ancestor.name);
        if (present !== undefined && present !== ancestor) {
          throw new UserError(`there are two types named "${ancestor.name}": rename one of them`);
        }
        this.#types.set(ancestor.name, ancestor);
      }
    }
  }

  /** @throws UserError, with the nearest name, if there is no such type */
  get(name: string): TypeInfo {
    const type = this.#types.get(name);
    if (type !== undefined) return type;
    const names = this.list().map((known) => known.name);
    throw new UserError(`there is no type "${name}"${didYouMean(name, names)}`);
  }

  /** Makes an object of the type `name`: see createObject. */
  create(
    name: string,
    properties: Readonly<Record<string, PropertyValue>> = {},
    resolve?: ReferenceResolver,
  ): QomObject {
    return createObject(this.get(name), properties, resolve);
  }

  /** The types that have objects, sorted by name; only those that are `parentName` if it is given. */
  list(parentName?: string): TypeInfo[] {
    return [...this.#types.values()]
      .filter((type) => type.abstract !== true && (parentName === undefined || isA(type, parentName)))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
