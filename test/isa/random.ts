/** Seeded pseudo-random numbers for tests: the same on every host and run. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  /** 32 random bits, unsigned. */
  bits32(): number {
    // xorshift32, then a multiplication to spread the low bits.
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return Math.imul(this.state, 0x9e3779b1) >>> 0;
  }

  /** From 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.bits32() / 2 ** 32) * n);
  }

  bits64(): bigint {
    return (BigInt(this.bits32()) << 32n) | BigInt(this.bits32());
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  chance(probability: number): boolean {
    return this.bits32() < probability * 2 ** 32;
  }
}
