// The properties of a device: what its user sets, in a configuration or as `-device ...,name=value`.

import type { Chardev } from "../../backend/chardev.ts";
import type { PropertyInfo } from "../../qom/property.ts";
import { markSite } from "./source-line.ts";

declare const propertyValue: unique symbol;

/**
 * A property, whose value is a `V` to the model.
 * @example const speed: Property<number> = prop(10, "how fast");
 */
export interface Property<V = unknown> {
  readonly kind: "property";
  readonly info: PropertyInfo;
  /** Only there for the compiler. */
  readonly [propertyValue]?: V;
}

/**
 * Properties by name.
 * @example properties: { speed: prop(10), line: prop.chardev() }
 */
export type PropertySpecs = Readonly<Record<string, Property>>;

/**
 * The values of properties by name.
 * @example setup: ({ props }) => props.speed // number
 */
export type PropertyValues<P> = { readonly [K in keyof P]: P[K] extends Property<infer V> ? V : never };

/** The names of the properties that are chardevs. */
export type ChardevNames<P> = {
  [K in keyof P & string]: P[K] extends Property<infer V> ? (Chardev extends V ? K : never) : never;
}[keyof P & string];

type Wide<V> = V extends number ? number : V extends bigint ? bigint : V extends boolean ? boolean : string;

function property<V>(info: PropertyInfo, description: string | undefined): Property<V> {
  return markSite({ kind: "property", info: { ...info, ...(description !== undefined && { description }) } });
}

function simple<V extends number | bigint | boolean | string>(value: V, description?: string): Property<Wide<V>> {
  const type =
    typeof value === "number"
      ? value < 0
        ? "int32"
        : "uint32"
      : typeof value === "bigint"
        ? value < 0n
          ? "int64"
          : "uint64"
        : typeof value === "boolean"
          ? "bool"
          : "str";
  return property({ type, default: value }, description);
}

/**
 * A property with its default: a whole number of 32 bits (negative ones too if the default is one), a bigint of 64, a
 * boolean or a string. `prop.int`, `prop.size`, `prop.choice` and `prop.chardev` are the other kinds.
 *
 * @example properties: { nsPerByte: prop(10, "transfer time"), mode: prop.choice(["fast", "slow"], "how") }
 */
export const prop: {
  <V extends number | bigint | boolean | string>(value: V, description?: string): Property<Wide<V>>;
  /** A whole number of 32 bits with sign. @example prop.int(0, "offset in millidegrees") */
  int(value: number, description?: string): Property<number>;
  /** A size in bytes, given as 4096, 64K or 1.5G. @example prop.size(0x1000n, "of the buffer") */
  size(value: bigint, description?: string): Property<bigint>;
  /** One of several words, the first being the default. @example prop.choice(["even", "odd"], "parity") */
  choice<const T extends readonly [string, ...string[]]>(values: T, description?: string): Property<T[number]>;
  /** A character device of the host by its id, or nothing: see `stream`. @example prop.chardev("the line") */
  chardev(description?: string): Property<Chardev | undefined>;
} = Object.assign(simple, {
  int: (value: number, description?: string) => property<number>({ type: "int32", default: value }, description),
  size: (value: bigint, description?: string) => property<bigint>({ type: "size", default: value }, description),
  choice: <const T extends readonly [string, ...string[]]>(values: T, description?: string) =>
    property<T[number]>({ type: "enum", values, default: values[0] }, description),
  chardev: (description?: string) => property<Chardev | undefined>({ type: "chardev" }, description),
});
