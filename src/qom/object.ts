// Objects of the object model: typed properties, and a place in the composition tree.

import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import {
  checkValue,
  defaultValue,
  isReference,
  type PropertyInfo,
  type PropertyValue,
  type ReferenceResolver,
} from "./property.ts";
import { isA, objectType, propertiesOf, propertyOf, type TypeInfo } from "./type-info.ts";

interface Setting {
  readonly value: PropertyValue;
  /** Of the property that it was set for. */
  readonly type: PropertyInfo["type"];
  /** The text that a reference was given by: what the user knows it as. */
  readonly text?: string;
}

/**
 * The base of everything that has a type, properties and a path.
 *
 * The constructor of a subclass is what QEMU calls instance_init: it gets the TypeInfo (of the class or of a type that
 * inherits from it), passes it up and makes the object's parts. Properties have their values only afterwards.
 */
export class QomObject {
  readonly typeInfo: TypeInfo;
  #parent: QomObject | undefined;
  #pathComponent = "";
  readonly #children = new Map<string, QomObject>();
  readonly #settings = new Map<string, Setting>();

  constructor(typeInfo: TypeInfo) {
    this.typeInfo = typeInfo;
  }

  /** Whether the object's type is `typeName`, inherits from it or implements it. */
  isA(typeName: string): boolean {
    return isA(this.typeInfo, typeName);
  }

  // --- composition tree

  /** The object that this one is a part of; undefined for a root. */
  get parent(): QomObject | undefined {
    return this.#parent;
  }

  /** The object's name in its parent: `harts[0]`; empty for a root. */
  get pathComponent(): string {
    return this.#pathComponent;
  }

  /** The way from the root of the tree: `/machine/soc0/harts[0]`; `/` for a root. */
  get path(): string {
    if (this.#parent === undefined) return "/";
    const above = this.#parent.path;
    return above === "/" ? `/${this.#pathComponent}` : `${above}/${this.#pathComponent}`;
  }

  /** The parts by name, in the order they were added. */
  get children(): ReadonlyMap<string, QomObject> {
    return this.#children;
  }

  /**
   * Makes `child` a part of this object. A name that ends in `[*]` gets the first free number there.
   * @returns `child`
   * @throws UserError if there is a part of this name
   */
  addChild<T extends QomObject>(name: string, child: T): T {
    if (child.parent !== undefined) throw new Error(`${child.path} is already a part of ${child.parent.path}`);
    for (let object: QomObject | undefined = this; object !== undefined; object = object.#parent) {
      if (object === child) throw new Error(`${name} would be a part of itself`);
    }
    // A slash would be two components, and a memory region's name is free text.
    const component = (name.endsWith("[*]") ? this.#numbered(name.slice(0, -3)) : name).replaceAll("/", "\\x2f");
    if (component === "") throw new Error(`a part of ${this.path} needs a name`);
    const present = this.#children.get(component);
    if (present !== undefined) {
      throw new UserError(`${this.path} has a "${component}" already (${present.typeInfo.name}): use another name`);
    }
    this.#children.set(component, child);
    child.#parent = this;
    child.#pathComponent = component;
    return child;
  }

  /** Takes the object, with its parts, out of the tree and finalizes them, parts first. */
  unparent(): void {
    if (this.#parent !== undefined) this.#parent.#children.delete(this.#pathComponent);
    this.#parent = undefined;
    for (const child of [...this.#children.values()]) child.unparent();
    this.#pathComponent = "";
    this.finalize();
  }

  /** The object at a path: from the root if it begins with `/`, otherwise from here. */
  resolve(path: string): QomObject | undefined {
    let object: QomObject | undefined = path.startsWith("/") ? this.#root() : this;
    for (const component of path.split("/")) {
      if (component !== "") object = object?.children.get(component);
    }
    return object;
  }

  /** Releases what the object holds outside the tree, once it is out of it. */
  protected finalize(): void {}

  // --- properties

  /**
   * A property's value (see PropertyValue for what each type holds).
   * @throws UserError if the object has no such property
   */
  get(name: string): PropertyValue {
    const info = this.#property(name);
    return this.#settings.has(name) ? this.#settings.get(name)!.value : defaultValue(info);
  }

  /** The value of a bool property. */
  getBool(name: string): boolean {
    return this.#typed(name, "boolean") as boolean;
  }

  /** The value of an integer property of up to 32 bits. */
  getNumber(name: string): number {
    return this.#typed(name, "number") as number;
  }

  /** The value of a 64-bit integer or size property. */
  getBigint(name: string): bigint {
    return this.#typed(name, "bigint") as bigint;
  }

  /** The value of a str or enum property. */
  getString(name: string): string {
    return this.#typed(name, "string") as string;
  }

  /**
   * Sets a property, from a value of its type or from text as on the command line.
   *
   * @param resolve finds what a reference names; without it, the text of a link is a path in the tree
   * @throws UserError if there is no such property or the value does not fit it
   */
  set(name: string, value: PropertyValue, resolve?: ReferenceResolver): void {
    const info = this.#property(name);
    const label = `${this.typeInfo.name}.${name}`;
    if (isReference(info.type) && typeof value === "string") {
      const target = resolve === undefined ? this.#resolveLink(label, info, value) : resolve(info.type, value);
      this.#settings.set(name, { value: target, type: info.type, text: value });
    } else {
      this.#settings.set(name, { value: checkValue(label, info, value), type: info.type });
    }
  }

  /**
   * Becomes an object of the type of `other`, and has the properties that were set there. What was set here and is no property
   * of that type is remembered: another type may have it again.
   */
  protected become(other: QomObject): void {
    (this as { typeInfo: TypeInfo }).typeInfo = other.typeInfo;
    for (const name of [...this.#settings.keys()]) if (this.#isProperty(name)) this.#settings.delete(name);
    for (const [name, setting] of other.#settings) this.#settings.set(name, setting);
  }

  /**
   * Sets the properties that were set in `other`, as far as there are such here.
   * @returns for each that is not taken over, why
   */
  protected takeSettings(other: QomObject): string[] {
    const refused: string[] = [];
    for (const [name, setting] of other.#settings) {
      const info = propertyOf(this.typeInfo, name);
      const text = textOfSetting(setting);
      if (info === undefined) {
        if (other.#isProperty(name)) refused.push(`there is no property ${name} any more: it was ${text}`);
      } else if (isReference(info.type)) {
        if (info.type === setting.type) this.#settings.set(name, setting);
        else refused.push(`the property ${name} is a ${info.type} now: it was ${text}`);
      } else {
        try {
          this.#settings.set(name, { value: checkValue(`the property ${name}`, info, text), type: info.type });
        } catch (error) {
          refused.push((error as UserError).message);
        }
      }
    }
    return refused;
  }

  /** A property's value as text, as `set` would read it. */
  textOf(name: string): string {
    const value = this.get(name);
    return textOfSetting(this.#settings.get(name) ?? { value });
  }

  #isProperty(name: string): boolean {
    return propertyOf(this.typeInfo, name) !== undefined;
  }

  #property(name: string): PropertyInfo {
    const info = propertyOf(this.typeInfo, name);
    if (info !== undefined) return info;
    const names = [...propertiesOf(this.typeInfo).keys()];
    const hint = didYouMean(name, names) || (names.length === 0 ? " (it has none)" : ` (it has: ${names.join(", ")})`);
    throw new UserError(`${this.typeInfo.name} has no property "${name}"${hint}`);
  }

  #typed(name: string, type: string): PropertyValue {
    const value = this.get(name);
    if (typeof value !== type) {
      throw new TypeError(`${this.typeInfo.name}.${name} is a ${this.#property(name).type}, not a ${type}`);
    }
    return value;
  }

  #resolveLink(label: string, info: PropertyInfo, path: string): QomObject {
    if (info.type !== "link") throw new UserError(`${label}: there is no ${info.type} "${path}"`);
    const target = this.resolve(path);
    if (target === undefined) throw new UserError(`${label}: there is no object at "${path}"`);
    return target;
  }

  #root(): QomObject {
    return this.#parent === undefined ? this : this.#parent.#root();
  }

  #numbered(prefix: string): string {
    let number = 0;
    while (this.#children.has(`${prefix}[${number}]`)) number++;
    return `${prefix}[${number}]`;
  }
}

/** The type of objects that only hold others: `/machine/peripheral`. */
export const containerType: TypeInfo = {
  name: "container",
  parent: objectType,
  create: (type) => new QomObject(type),
};

function textOfSetting({ value, text }: Pick<Setting, "value" | "text">): string {
  if (text !== undefined) return text;
  if (typeof value === "boolean") return value ? "on" : "off";
  if (value instanceof QomObject) return value.path;
  return value === undefined || typeof value === "object" ? "" : String(value);
}
