// The author's own variables when the definition changes: which values go on, which begin as the new definition says.

type Variables = Record<string, unknown>;

/**
 * Puts the values of variables into those of a new definition: what has changed since the beginning goes on, what has not
 * begins as the new definition says. Objects by name keep what they have and get what is new.
 *
 * @param fresh those of the new definition; changed
 * @param now copies that nobody else has
 * @param first as the old definition began; undefined if nobody knows
 * @returns what could not be kept, in words
 */
export function mergeVariables(fresh: Variables, now: Variables, first: Variables | undefined): string[] {
  const lost: string[] = [];
  for (const [name, value] of Object.entries(now)) {
    const declared = first !== undefined && Object.hasOwn(first, name);
    if (!Object.hasOwn(fresh, name)) {
      // What the model itself has added is its own affair; what was declared is gone.
      if (!declared) fresh[name] = value;
      continue;
    }
    if (declared && isSame(value, first[name])) continue;
    const [was, is] = [kindOf(value), kindOf(fresh[name])];
    if (was === is || was === "nothing" || is === "nothing") fresh[name] = filled(value, fresh[name]);
    else lost.push(`state.${name} was ${was} and is ${is}: it begins anew`);
  }
  return lost;
}

/** `value`, with what `fresh` has more by name. */
function filled(value: unknown, fresh: unknown): unknown {
  if (!isPlain(value) || !isPlain(fresh)) return value;
  for (const [name, more] of Object.entries(fresh)) {
    value[name] = Object.hasOwn(value, name) ? filled(value[name], more) : more;
  }
  return value;
}

function isPlain(value: unknown): value is Variables {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value !== "object") return `a ${typeof value}`;
  const name = value.constructor?.name ?? "Object";
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

/** Whether two values that structuredClone takes hold the same. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Date) return a.getTime() === (b as Date).getTime();
  if (a instanceof Map || a instanceof Set) return isSame([...a], [...(b as Set<unknown>)]);
  if (a instanceof ArrayBuffer) return sameBytes(new Uint8Array(a), new Uint8Array(b as ArrayBuffer));
  if (ArrayBuffer.isView(a)) return sameBytes(bytesOf(a), bytesOf(b as ArrayBufferView));
  const [left, right] = [a as Variables, b as Variables];
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every((name) => Object.hasOwn(right, name) && isSame(left[name], right[name]))
  );
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, n) => byte === b[n]);
}
