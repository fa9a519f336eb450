// What it takes to cross-build a kernel module for the guest: Debian's headers of its kernel, and from the machine's own
// release what runs on the machine (kbuild's programs; the cross compiler and make if the machine has none). All of it is
// unpacked into the cache, nothing is installed.

import { readFile, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { foreignPackages, ownPackages, PrivateApt } from "./apt.ts";
import { type CacheEntry, cacheFolder, findEntry, makeEntry } from "./cache.ts";
import { findCommand } from "./command.ts";
import type { Guest } from "./guest.ts";
import { inStep, type Progress } from "./progress.ts";
import { GUEST_SUITE } from "./recipe.ts";

const CROSS = "riscv64-linux-gnu-";

/** A program to run, with what it needs in the environment. */
interface Invocation {
  readonly command: string;
  readonly args: string[];
  readonly env: Record<string, string>;
}

/** A build environment for modules of one kernel, and for programs that need no library. */
export interface KernelBuild {
  /** Runs `make` with it: the arguments for the folder with the module's Makefile. */
  make(folder: string): Invocation;
  /** Runs the cross compiler, which has no C library. */
  compile(args: readonly string[]): Invocation;
}

/** The machine's tools that would otherwise be unpacked into the cache as well. */
function missingTools(env: NodeJS.ProcessEnv): string[] {
  const wanted: readonly (readonly [command: string, packageName: string])[] = [
    [`${CROSS}gcc`, "gcc-riscv64-linux-gnu"],
    ["make", "make"],
  ];
  return wanted.filter(([command]) => findCommand(command, env) === undefined).map(([, packageName]) => packageName);
}

/** Names the build environment in the cache: it serves one kernel, and completes one machine. */
function entryName(guest: Guest, env: NodeJS.ProcessEnv): string {
  return ["kernel-build-1", guest.kernelRelease, ...missingTools(env)].join("-");
}

/** The build environment, if an earlier set-up made it. */
export function findKernelBuild(env: NodeJS.ProcessEnv, guest: Guest): KernelBuild | undefined {
  const entry = findEntry(cacheFolder(env), entryName(guest, env));
  return entry === undefined ? undefined : describe(entry, env);
}

/**
 * The build environment, made now if need be.
 *
 * @throws NotObtained where Debian's packages cannot be had
 */
export async function obtainKernelBuild(
  env: NodeJS.ProcessEnv,
  guest: Guest,
  progress: Progress,
): Promise<KernelBuild> {
  const found = findKernelBuild(env, guest);
  if (found !== undefined) return found;
  const { kernelRelease } = guest;
  const entry = await makeEntry(cacheFolder(env), entryName(guest, env), progress, async (folder, scratch) => {
    const { target, headers, host, tools, kbuild } = await inStep(
      progress,
      "Asking Debian for kernel headers",
      async (step) => {
        const target = await PrivateApt.open(
          join(scratch, "target"),
          await foreignPackages(GUEST_SUITE, "riscv64"),
          (fraction) => step.update(fraction / 2),
        );
        const headers = await headerPackages(target, guest);
        const host = await PrivateApt.open(join(scratch, "host"), await ownPackages(), (fraction) =>
          step.update(0.5 + fraction / 2),
        );
        const kbuild = await kbuildPackage(host, kernelRelease);
        const tools = await host.closure([kbuild, ...missingTools(env)]);
        return { target, headers, host, tools, kbuild };
      },
    );
    await inStep(progress, "Downloading kernel headers and build tools", async (step) => {
      await target.unpack(headers, folder, (fraction) => step.update(fraction / 2));
      await host.unpack(tools, folder, (fraction) => step.update(0.5 + fraction / 2));
      await connect(folder, kernelRelease, kbuild);
    });
    return { files: [join(headersFolder(kernelRelease), "Module.symvers")], facts: { kernelRelease } };
  });
  return describe(entry, env);
}

const headersFolder = (kernelRelease: string): string => `usr/src/linux-headers-${kernelRelease}`;

async function headerPackages(target: PrivateApt, { kernelRelease, kernel }: Guest): Promise<string[]> {
  const names = [kernelRelease, kernelRelease.replace(/riscv64$/, "common")].map((name) => `linux-headers-${name}`);
  if ((await target.records(names)).size < names.length) {
    throw new UserError(
      `Debian has gone on from the guest's kernel ${kernelRelease} to a newer one (remove the folder of ${kernel} for a new guest)`,
    );
  }
  return names;
}

/**
 * kbuild's programs of the machine's own release: built for its libraries, and of the same kernel version or a near one, as
 * they come to backports and stable releases together.
 */
async function kbuildPackage(host: PrivateApt, kernelRelease: string): Promise<string> {
  const [version = "", series = ""] = /^(\d+\.\d+)[\d.]*/.exec(kernelRelease) ?? [];
  const names = (await host.names(`linux-kbuild-${series}`)).sort(byVersion);
  const exact = names.findLast((name) => name.startsWith(`linux-kbuild-${version}+`));
  const chosen = exact ?? names.at(-1);
  if (chosen === undefined) throw new UserError(`this machine's Debian has no linux-kbuild-${series}`);
  return chosen;
}

const byVersion = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

/** The headers look for kbuild beside themselves under their own version, and for each other under /usr/src. */
async function connect(folder: string, kernelRelease: string, kbuild: string): Promise<void> {
  const common = kernelRelease.replace(/-riscv64$/, "");
  const expected = `linux-kbuild-${common}`;
  if (kbuild !== expected) await symlink(kbuild, join(folder, "usr/lib", expected));
  const makefile = join(folder, headersFolder(kernelRelease), "Makefile");
  const text = await readFile(makefile, "utf8");
  await writeFile(makefile, text.replaceAll("/usr/src/", "$(dir $(lastword $(MAKEFILE_LIST)))../"));
}

function describe({ folder, facts }: CacheEntry, env: NodeJS.ProcessEnv): KernelBuild {
  const headers = join(folder, headersFolder(facts["kernelRelease"] ?? ""));
  const tools = join(folder, "usr/bin");
  const libraries = multiarchNames().map((name) => join(folder, "usr/lib", name));
  const toolsEnv = {
    PATH: [env["PATH"], tools].join(delimiter),
    LD_LIBRARY_PATH: [env["LD_LIBRARY_PATH"], ...libraries].filter(Boolean).join(delimiter),
  };
  const program = (name: string): string => findCommand(name, env) ?? join(tools, name);
  return {
    make: (module) => ({
      command: program("make"),
      // No type information (BTF): that would take pahole and the kernel's own.
      args: [
        ...["-C", headers, `M=${module}`, "ARCH=riscv", `CROSS_COMPILE=${CROSS}`, `CC=${CROSS}gcc`],
        ...["CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"],
      ],
      env: toolsEnv,
    }),
    compile: (args) => ({ command: program(`${CROSS}gcc`), args: [...args], env: toolsEnv }),
  };
}

/** Debian's names for the folders of this machine's libraries. */
function multiarchNames(): string[] {
  const names: Partial<Record<NodeJS.Architecture, string>> = {
    x64: "x86_64-linux-gnu",
    arm64: "aarch64-linux-gnu",
    riscv64: "riscv64-linux-gnu",
    ppc64: "powerpc64le-linux-gnu",
    s390x: "s390x-linux-gnu",
  };
  const name = names[process.arch];
  return name === undefined ? [] : [name];
}
