// The names that an author gave, as types: `"CTRL"`, `"CTRL.START"`, `"CH.CTRL"`, `"CH[2].CTRL"`, with what they hold.

import type { Field } from "./fields.ts";
import type { Bank, FieldValue, Register, RegisterArray, Word } from "./registers.ts";

/** The register that a name in a spec stands for, alone or as the kind of an array. */
type RegisterOf<X> = X extends RegisterArray<infer G> ? G : X extends Register ? X : never;

/** The fields of a register. One without fields has none by name, though its type may not say so. */
type FieldsOf<G> = G extends Register<infer F> ? (string extends keyof F ? {} : F) : never;

type FieldNames<X> = keyof FieldsOf<RegisterOf<X>> & string;

// The unions of names are keys of mapped types, because so a compiler's message lists them, and not the types that they
// come from.

/** What is found by name below `K`, without indices. */
type NamesBelow<X, K extends string> = X extends Bank<infer B> ? `${K}.${Name<B>}` : K | `${K}.${FieldNames<X>}`;

/** Registers and fields by name; arrays and banks without index: `"CTRL"`, `"DATA"`, `"CH.CTRL"`, `"CH.CTRL.START"`. */
export type Name<R> = keyof { [K in keyof R & string as NamesBelow<R[K], K>]: never };

/** The names of the elements of `K`: with its index if there are several. */
type ElementsBelow<X, K extends string> =
  X extends Bank<infer B> ? `${K}[${number}].${ElementName<B>}` : X extends RegisterArray ? `${K}[${number}]` : K;

/** Single registers by name, with index: `"CTRL"`, `"DATA[3]"`, `"CH[2].CTRL"`. */
export type ElementName<R> = keyof { [K in keyof R & string as ElementsBelow<R[K], K>]: never };

type ElementFieldsBelow<X, K extends string> =
  X extends Bank<infer B> ? `${K}[${number}].${ElementFieldName<B>}` : `${ElementsBelow<X, K>}.${FieldNames<X>}`;

/** Fields of single registers: `"CTRL.START"`, `"CH[2].CTRL.START"`. */
export type ElementFieldName<R> = keyof { [K in keyof R & string as ElementFieldsBelow<R[K], K>]: never };

/** Single registers and their fields. */
export type ElementOrField<R> = keyof {
  [K in keyof R & string as ElementsBelow<R[K], K> | ElementFieldsBelow<R[K], K>]: never;
};

/** What is at a name. */
export type ValueAt<R, N> = N extends keyof R
  ? RegisterOf<R[N]> extends Register<infer _, infer W>
    ? Word<W>
    : never
  : N extends `${infer K}.${infer Rest}`
    ? K extends keyof R
      ? R[K] extends Bank<infer B>
        ? ValueAt<B, Rest>
        : Rest extends keyof FieldsOf<RegisterOf<R[K]>>
          ? FieldValue<FieldsOf<RegisterOf<R[K]>>[Rest]>
          : never
      : never
    : never;

/** Which of several a callback for a name is about: the index in the bank, the index in the array. */
export type IndicesAt<R, N> = N extends keyof R
  ? ArrayIndex<R[N]>
  : N extends `${infer K}.${infer Rest}`
    ? K extends keyof R
      ? R[K] extends Bank<infer B>
        ? [bank: number, ...IndicesAt<B, Rest>]
        : ArrayIndex<R[K]>
      : []
    : [];

type ArrayIndex<X> = X extends RegisterArray ? [index: number] : [];

/** A name without its indices: `"CH.CTRL"` for `"CH[2].CTRL"`. */
export type WithoutIndex<N> = N extends `${infer Head}[${number}]${infer Tail}` ? `${Head}${WithoutIndex<Tail>}` : N;

/** The register (not field) that an element's name stands for. */
export type RegisterAt<R, N> = N extends keyof R
  ? RegisterOf<R[N]>
  : N extends `${infer K}.${infer Rest}`
    ? K extends keyof R
      ? R[K] extends Bank<infer B>
        ? RegisterAt<B, Rest>
        : never
      : never
    : never;

/** The fields of a register as its view has them. Pulses and reserved bits hold nothing to see. */
type FieldViews<F> = {
  -readonly [K in keyof F as F[K] extends Field<unknown, "pulse" | "reserved" | "constant"> ? never : K]: FieldValue<
    F[K]
  >;
} & { readonly [K in keyof F as F[K] extends Field<unknown, "constant"> ? K : never]: FieldValue<F[K]> };

/**
 * A register to the model: its fields by name, and its `value`. Assigning has no side effects.
 * @example
 * STATUS.DONE = true; // a field
 * LEN.value; // the whole register
 */
export type RegisterView<G> =
  G extends Register<infer _, infer W> ? { value: Word<W> } & FieldViews<FieldsOf<G>> : never;

/**
 * The elements of an array or a bank.
 * @example
 * for (const channel of regs.CH) channel.CTRL.ON = false;
 * regs.CH.at(2).CTRL.value;
 */
export interface ViewList<V> extends Iterable<V> {
  readonly length: number;
  readonly [index: number]: V;
  /** The same as `[index]`. @throws RangeError if there is none */
  at(index: number): V;
}

/** What a name in a spec is to the model. */
type ViewOf<X> = X extends Register
  ? RegisterView<X>
  : X extends RegisterArray<infer G>
    ? ViewList<RegisterView<G>>
    : X extends Bank<infer B>
      ? ViewList<RegisterViews<B>>
      : never;

/**
 * All registers of a device by name.
 * @example vm.device("banana-dma").registers.STATUS.DONE
 */
export type RegisterViews<R> = { readonly [K in keyof R]: ViewOf<R[K]> };

/** What a register can be written as: its value, or some of its fields, the others being 0. */
export type WriteValue<G> =
  G extends Register<infer F, infer W>
    ? string extends keyof F
      ? Word<W>
      : Word<W> | (object & { readonly [K in keyof F]?: FieldValue<F[K]> })
    : never;
