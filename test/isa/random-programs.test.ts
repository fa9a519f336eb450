// Random programs on our harts and on QEMU: all registers, flags, traps and memory compared.

import { expect, test } from "vitest";
import { type Case, type CompareOptions, compareCases } from "./cases.ts";
import { hasQemu, needsQemu } from "./qemu.ts";
import { Random } from "./random.ts";
import { type RandomCodeOptions, randomCode, randomInsns, randomState } from "./random-code.ts";

/** PLANTAIN_LONG_TESTS=1 tries many more seeds. */
const long = process.env.PLANTAIN_LONG_TESTS === "1";
const ROUNDS = long ? 40 : 1;
const TIMEOUT = ROUNDS * 60_000;

function cases(seed: number, count: number, length: number, options: RandomCodeOptions): Case[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, n) => {
    const { x, f, window } = randomState(random, n);
    const code = randomCode(random, length, options);
    const fcsr = BigInt(random.below(32) | (random.pick([0, 0, 0, 1, 2, 3, 4, 5, 7]) << 5));
    return { name: `seed ${seed}`, x, f, window, code, csrs: { fcsr } };
  });
}

/** Where QEMU 7.2 differs from us and the specification is with us, or leaves the choice. */
const accept: CompareOptions["accept"] = (part, ours, theirs, outcome) => {
  const [, index, field] = /^trap (\d+) (tval|cause)$/.exec(part) ?? [];
  const trap = index === undefined ? undefined : outcome.traps[Number(index)];
  // A breakpoint's tval may be 0 or the address (privileged specification 3.1.16); QEMU has 0.
  if (field === "tval" && trap?.cause === 3n) return theirs === 0n && ours === trap.epc;
  // A misaligned AMO is a store/AMO address misaligned exception (unprivileged 14.4); QEMU says load.
  return field === "cause" && ours === 6n && theirs === 4n;
};

interface Plan {
  readonly title: string;
  readonly count: number;
  readonly length: number;
  readonly code: RandomCodeOptions;
  readonly compare?: Pick<CompareOptions, "repeat" | "translate">;
}

function check({ title, count, length, code, compare }: Plan): void {
  test.skipIf(!hasQemu)(
    `${title}${needsQemu}`,
    () => {
      for (let round = 0; round < ROUNDS; round++) {
        const tried = cases(1 + round * 7919 + title.length, count, length, code);
        const { differences, regions } = compareCases(tried, { accept, ...compare });
        expect(differences.join("\n")).toBe("");
        if (compare?.translate) expect(regions).toBeGreaterThan(count);
      }
    },
    TIMEOUT,
  );
}

const floating = randomInsns.filter((insn) => ["f", "d", "zfh"].includes(insn.extension));
const both = [
  { title: "all instructions, a third of them compressed", count: 2000, length: 60, code: { illegal: 0.01 } },
  {
    title: "floating point in all formats and rounding modes",
    count: 2000,
    length: 60,
    code: { insns: floating, compressed: 0 },
  },
];
for (const plan of both) check(plan);
check({ title: "illegal encodings trap with their bits in tval", count: 400, length: 14, code: { illegal: 0.9 } });
// Each case a few times, so that most of it is translated and runs so.
for (const plan of both)
  check({ ...plan, title: `${plan.title}, translated`, count: 300, compare: { repeat: 6, translate: true } });
