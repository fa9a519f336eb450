// The five kernels, as programs for the bare board and as processes of Linux.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeCpio } from "../src/node/guest/cpio.ts";
import { type Bench, BenchError } from "./benchmark.ts";
import type { Compiler } from "./compiler.ts";

export const KERNELS = [
  { name: "k0", title: "integer mix" },
  { name: "k1", title: "SHA-256" },
  { name: "k2", title: "quicksort, calls" },
  { name: "k3", title: "double precision" },
  { name: "k4", title: "64 MiB copies and strides" },
] as const;

/** Seconds that a kernel may take: the slowest, interpreted on a slow machine. */
export const KERNEL_TIMEOUT = 900;

/** The options of both emulators for a program on the bare board. */
export function bareOptions(program: string): string[] {
  return ["-M", "virt", "-m", "512M", "-bios", "none", "-kernel", program, "-nographic", "-monitor", "none"];
}

export function bareKernel(compiler: Compiler, name: string): string {
  return compiler.build("bare", name, ["start.S", "bare-kernel.c", `${name}.c`]);
}

/** An initramfs whose first process runs these kernels. */
export function kernelInitramfs({ compiler, cache }: Bench, names: readonly string[]): string {
  const program = (path: string, file: string) =>
    ({ kind: "file", path, data: readFileSync(file), mode: 0o755 }) as const;
  const archive = encodeCpio([
    { kind: "directory", path: "dev" },
    { kind: "character", path: "dev/console", major: 5, minor: 1 },
    { kind: "directory", path: "proc" },
    program("init", compiler.build("linux", "init", ["init.c"])),
    ...names.map((name) => program(name, compiler.build("linux", name, ["linux-kernel.c", `${name}.c`]))),
  ]);
  const identity = createHash("sha256").update(archive).digest("hex").slice(0, 16);
  const path = join(cache, `kernels-${identity}.cpio`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(path)) writeFileSync(path, archive);
  return path;
}

/** All runs of a kernel must come to the same result, whichever the emulator. */
export function checkSums(
  name: string,
  sums: { readonly ours: readonly string[]; readonly qemu: readonly string[] },
): void {
  const expected = sums.qemu[0] ?? sums.ours[0];
  const wrong = [...sums.qemu, ...sums.ours].find((sum) => sum !== expected);
  if (wrong !== undefined) throw new BenchError(`${name} came to ${wrong} in one run and to ${expected} in another`);
}
