// Phandle numbers by key, so that a node can refer to one that is written later.
// Devicetree Specification v0.4, 2.3.3.

/** Hands out phandle numbers: the same key always gets the same number, from 1 upwards. */
export class Phandles {
  readonly #numbers = new Map<object | string, number>();

  /** The phandle of a key: an object (a device) or a name that both sides agreed on. */
  of(key: object | string): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#numbers.size + 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}
