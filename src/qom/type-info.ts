// Types of the object model: plain values that modules export. Nothing registers itself, so what a program does not
// import is not in it; a TypeRegistry holds the types that a machine offers by name.

import type { QomObject } from "./object.ts";
import type { PropertyInfo } from "./property.ts";

/**
 * A type, whose objects are `T`: what QEMU's QOM calls TypeInfo.
 *
 * @example
 * export const bananaRomType: TypeInfo<BananaRom> = {
 *   name: "banana-rom",
 *   parent: sysBusDeviceType,
 *   description: "identifies a banana chip",
 *   create: (type) => new BananaRom(type),
 * };
 */
export interface TypeInfo<T extends QomObject = QomObject> {
  /** The name that users type: `banana-rom`. */
  readonly name: string;
  /** Where properties, interfaces and, if this type has none of its own, `create` come from. */
  readonly parent?: TypeInfo;
  /** An abstract type has no objects. */
  readonly abstract?: boolean;
  /** Names of the interfaces it implements; `isA` answers for them as for types. */
  readonly interfaces?: readonly string[];
  readonly description?: string;
  /** Its own properties; one of the parent's with the same name is replaced (for another default, say). */
  readonly properties?: Readonly<Record<string, PropertyInfo>>;
  /** Makes an object of `type`: this type, or one that inherits from it. */
  readonly create?: (type: TypeInfo) => T;
}

/** The root of all types. */
export const objectType: TypeInfo = { name: "object", abstract: true };

/** The type and its ancestors, the type itself first. */
export function lineage(type: TypeInfo): TypeInfo[] {
  return type.parent === undefined ? [type] : [type, ...lineage(type.parent)];
}

/** Whether `type` is `name`, inherits from it, or implements an interface of that name. */
export function isA(type: TypeInfo, name: string): boolean {
  for (const ancestor of lineage(type)) {
    if (ancestor.name === name || ancestor.interfaces?.includes(name)) return true;
  }
  return false;
}

/** All properties of a type, inherited ones too, sorted by name. */
export function propertiesOf(type: TypeInfo): ReadonlyMap<string, PropertyInfo> {
  const all: [string, PropertyInfo][] = [];
  const seen = new Set<string>();
  for (const ancestor of lineage(type)) {
    for (const [name, info] of Object.entries(ancestor.properties ?? {})) {
      if (!seen.has(name)) all.push([name, info]);
      seen.add(name);
    }
  }
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** One property of a type, looked up through its ancestors. */
export function propertyOf(type: TypeInfo, name: string): PropertyInfo | undefined {
  for (const ancestor of lineage(type)) {
    if (ancestor.properties !== undefined && Object.hasOwn(ancestor.properties, name)) return ancestor.properties[name];
  }
  return undefined;
}
