// Builds kernel modules and small programs for the guest, away from their sources: these stay as they are, and two builds do
// not meet.

import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { findGuest, type Guest } from "./guest.ts";
import { findKernelBuild, type KernelBuild } from "./kernel-build.ts";

/** What kbuild leaves beside sources, and what no module is made of. */
const NO_SOURCE = /^(node_modules|\..*|.*\.(o|ko|mod|mod\.c|cmd|a)|modules\.order|Module\.symvers)$/;

/** What goes with a module's or a program's sources. */
export interface BuildModuleOptions {
  /**
   * Files to put beside the sources, by name: the device's registers.
   * @example { "banana-dma-regs.h": cHeader(bananaDma.registerMap) }
   */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * What is missing here to boot Linux, or to build modules for it, in words; undefined if nothing is.
 * @example describe.skipIf(missingGuest("modules"))("the driver", () => { ... });
 */
export function missingGuest(what: "linux" | "modules" = "linux"): string | undefined {
  const guest = findGuest(process.env);
  if (guest === undefined) return `no Linux guest: ${process.env["PLANTAIN_NO_GUEST"] ?? "plantain module obtains it"}`;
  if (what === "linux" || findKernelBuild(process.env, guest) !== undefined) return undefined;
  return `no kernel headers: ${process.env["PLANTAIN_NO_KERNEL_BUILD"] ?? "plantain module obtains them"}`;
}

/**
 * Builds the one kernel module that a folder is the source of, for the Linux guest of set-up. The folder has a `Makefile` or
 * `Kbuild` with an `obj-m`, and is left as it is.
 *
 * @returns the bytes of the `.ko`
 * @throws UserError in one line: what is missing here, or the compiler's first error
 * @example
 * const driver = await buildModule("driver", { headers: { "banana-dma-regs.h": cHeader(bananaDma.registerMap) } });
 * const vm = await boot({ devices: [...], files: { "/lib/banana_dma.ko": driver } });
 */
export async function buildModule(folder: string, options: BuildModuleOptions = {}): Promise<Uint8Array> {
  const missing = missingGuest("modules");
  if (missing !== undefined) throw new UserError(`buildModule: ${missing}`);
  const guest = findGuest(process.env) as Guest;
  const modules = await makeModules(folder, findKernelBuild(process.env, guest) as KernelBuild, options);
  const [first, ...others] = modules.values();
  if (first === undefined || others.length > 0) {
    const names = [...modules.keys()].join(", ");
    throw new UserError(`buildModule: ${folder}: its Makefile makes ${names}: expected one module`);
  }
  return first;
}

/**
 * Builds all modules of a folder.
 *
 * @returns them by the names of their files
 * @throws UserError with the compiler's first error, in terms of the folder
 */
export async function makeModules(
  folder: string,
  build: KernelBuild,
  { headers = {} }: BuildModuleOptions = {},
): Promise<Map<string, Uint8Array>> {
  const source = resolve(folder);
  if (!(await stat(source).catch(() => undefined))?.isDirectory()) throw new UserError(`there is no folder ${folder}`);
  const names = await readdir(source);
  if (!names.includes("Makefile") && !names.includes("Kbuild")) {
    throw new UserError(`${folder} has no Makefile: expected one with "obj-m := NAME.o"`);
  }
  const work = await mkdtemp(join(tmpdir(), "plantain-module-"));
  try {
    const filter = (path: string): boolean => path === source || !NO_SOURCE.test(basename(path));
    await cp(source, work, { recursive: true, filter });
    for (const [name, text] of Object.entries(headers)) await writeFile(join(work, name), text);
    const { status, output } = await runTool(build.make(work));
    if (status !== 0) throw new UserError(firstError(output).replaceAll(work, source));
    const made = (await readdir(work)).filter((name) => name.endsWith(".ko")).sort();
    if (made.length === 0) throw new UserError(`${folder}: its Makefile makes no module: expected "obj-m := NAME.o"`);
    const modules = new Map<string, Uint8Array>();
    for (const name of made) modules.set(name, new Uint8Array(await readFile(join(work, name))));
    return modules;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function runTool({
  command,
  args,
  env,
}: ReturnType<KernelBuild["make"]>): Promise<{ status: number | null; output: string }> {
  const child = spawn(command, args, {
    env: { ...process.env, LC_ALL: "C", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const status = await new Promise<number | null>((done, fail) => {
    child.on("error", (error) => fail(new UserError(`${command} does not start: ${error.message}`)));
    child.on("close", done);
  });
  return { status, output };
}

/**
 * Compiles a program for the Linux guest of set-up, without a C library: it begins at `_start` and talks to the kernel
 * itself.
 *
 * @param source a C file
 * @returns the bytes of a static executable
 * @throws UserError in one line: what is missing here, or the compiler's first error
 * @example
 * const sensor = await buildProgram("sensor.c", { headers: { "banana-sensor-regs.h": cHeader(bananaSensor.registerMap) } });
 * const vm = await boot({ devices: [...], files: { "/bin/sensor": sensor } });
 */
export async function buildProgram(source: string, options: BuildModuleOptions = {}): Promise<Uint8Array> {
  const missing = missingGuest("modules");
  if (missing !== undefined) throw new UserError(`buildProgram: ${missing}`);
  const guest = findGuest(process.env) as Guest;
  return await makeProgram(source, findKernelBuild(process.env, guest) as KernelBuild, options);
}

/**
 * Compiles a program.
 *
 * @returns its bytes
 * @throws UserError with the compiler's first error
 */
export async function makeProgram(
  source: string,
  build: KernelBuild,
  { headers = {} }: BuildModuleOptions = {},
): Promise<Uint8Array> {
  const work = await mkdtemp(join(tmpdir(), "plantain-program-"));
  try {
    for (const [name, text] of Object.entries(headers)) await writeFile(join(work, name), text);
    const made = join(work, "program");
    const how = ["-O2", "-Wall", "-Werror=implicit", "-static", "-nostdlib", "-ffreestanding", "-s", "-I", work];
    const { status, output } = await runTool(build.compile([...how, "-o", made, resolve(source)]));
    if (status !== 0) throw new UserError(firstError(output).replaceAll(`${work}/`, ""));
    return new Uint8Array(await readFile(made));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The compiler's or linker's first complaint, or what make said last. */
function firstError(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (
    lines.find((line) => /\b(error|ERROR):|undefined!|undefined reference/.test(line)) ?? lines.at(-1) ?? "make failed"
  );
}
