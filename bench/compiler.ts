// Builds the programs of kernels/ with a RISC-V cross compiler. They need no C library.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findCommand } from "../src/node/guest/command.ts";
import { BenchError } from "./benchmark.ts";

const COMPILERS = ["riscv64-linux-gnu-gcc", "riscv64-unknown-elf-gcc"];
const FLAGS = [
  ...["-O2", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-fno-pic", "-fno-math-errno"],
  ...["-ffreestanding", "-nostdlib", "-nostartfiles", "-static", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"],
  ...["-Wall", "-Wextra", "-Werror", "-Wno-main"],
];
const SOURCES = fileURLToPath(new URL("kernels/", import.meta.url));

/** What a program is for: it decides how it is linked. */
export type Target = "bare" | "linux";

export interface BuildOptions {
  /** For the preprocessor. */
  readonly defines?: Readonly<Record<string, number>>;
  /** For the linker script. */
  readonly symbols?: Readonly<Record<string, number>>;
}

export class Compiler {
  readonly version: string;
  readonly #command: string;
  readonly #cache: string;
  /** Of everything that a program is made from. */
  readonly #identity: string;

  constructor(command: string, cache: string) {
    this.#command = command;
    this.#cache = cache;
    this.version = execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n", 1)[0]!;
    const hash = createHash("sha256").update(JSON.stringify([this.version, FLAGS]));
    for (const name of readdirSync(SOURCES).sort()) hash.update(name).update(readFileSync(join(SOURCES, name)));
    this.#identity = hash.digest("hex").slice(0, 16);
  }

  /**
   * The path of a program, built now if it is not there yet.
   * @param sources names of files in kernels/
   */
  build(
    target: Target,
    name: string,
    sources: readonly string[],
    { defines = {}, symbols = {} }: BuildOptions = {},
  ): string {
    const folder = join(this.#cache, `kernels-${this.#identity}`);
    const path = join(folder, `${target}-${name}`);
    if (existsSync(path)) return path;
    mkdirSync(folder, { recursive: true });
    const link = target === "bare" ? ["-T", join(SOURCES, "bare.ld")] : [];
    const definitions = [
      ...Object.entries(defines).map(([key, value]) => `-D${key}=${value}`),
      ...Object.entries(symbols).map(([key, value]) => `-Wl,--defsym=${key}=${value}`),
    ];
    const files = sources.map((source) => join(SOURCES, source));
    const partial = `${path}.${process.pid}.partial`;
    try {
      execFileSync(this.#command, [...FLAGS, ...link, ...definitions, ...files, "-o", partial], { stdio: "pipe" });
    } catch (error) {
      const stderr = String((error as { stderr?: Buffer }).stderr ?? "").trim();
      throw new BenchError(`${this.#command} does not build ${name}: ${stderr.split("\n", 1)[0]}`, { cause: error });
    }
    renameSync(partial, path);
    return path;
  }
}

/** The machine's compiler for RISC-V, or undefined. */
export function findCompiler(env: NodeJS.ProcessEnv, cache: string): Compiler | undefined {
  const command = COMPILERS.map((name) => findCommand(name, env)).find((path) => path !== undefined);
  return command === undefined ? undefined : new Compiler(command, cache);
}

/** Why benchmarks that need one are skipped. */
export const NO_COMPILER = `no RISC-V compiler here: ${COMPILERS.join(" or ")} builds the kernels`;
