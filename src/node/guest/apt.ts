// The machine's own apt, asked with a configuration of ours: another release or architecture than the machine's, no root,
// and nothing of the machine's package state read or written. Signatures and hashes are checked by apt as always.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { findMirrors, mirrorSource, releaseSources, type SourceFile } from "./apt-sources.ts";
import { run } from "./command.ts";

/** A package as apt knows it: the fields of its record (`Package`, `Version`, `Depends`, `Filename`, `Size`, ...). */
export type PackageRecord = ReadonlyMap<string, string>;

export interface AptRequest {
  /** `.sources` files, of which the first that apt can fetch is used. */
  readonly sources: readonly string[];
  readonly architecture: string;
  /** Counts as installed (a dpkg status file); by default nothing does. */
  readonly installed?: string;
}

const APT_FOLDER = "/etc/apt";
const DPKG_STATUS = "/var/lib/dpkg/status";

/**
 * Asks this machine's Debian mirrors for the packages of another release and architecture.
 *
 * @throws UserError where there is no Debian, no apt or no mirror
 */
export async function foreignPackages(suite: string, architecture: string): Promise<AptRequest> {
  const { files, codename } = await machineSources();
  const mirrors = findMirrors(files, codename);
  if (mirrors.length === 0) throw new UserError(`${APT_FOLDER} names no mirror of the Debian archive`);
  return { sources: mirrors.map((mirror) => mirrorSource(mirror, suite)), architecture };
}

/**
 * Asks for packages that run on this machine.
 *
 * @throws UserError where there is no Debian or no apt
 */
export async function ownPackages(): Promise<AptRequest> {
  const { files, codename } = await machineSources();
  const architecture = (await run("dpkg", ["--print-architecture"])).toString().trim();
  return { sources: [releaseSources(files, codename)], architecture, installed: DPKG_STATUS };
}

async function machineSources(): Promise<{ files: SourceFile[]; codename: string }> {
  const release = parseOsRelease(await readFile("/etc/os-release", "utf8").catch(() => ""));
  if (release.get("ID") !== "debian") {
    const name = release.get("PRETTY_NAME") ?? `a system without /etc/os-release (${process.platform})`;
    throw new UserError(`the Linux guest is made of Debian's packages by Debian's apt, and this is ${name}`);
  }
  const parts = (await readdir(join(APT_FOLDER, "sources.list.d")).catch(() => []))
    .filter((name) => /^[\w.-]+\.(list|sources)$/.test(name))
    .sort()
    .map((name) => join("sources.list.d", name));
  const read = async (name: string): Promise<SourceFile> => {
    return { name, text: await readFile(join(APT_FOLDER, name), "utf8").catch(() => "") };
  };
  const files = await Promise.all(["sources.list", ...parts].map(read));
  return { files, codename: release.get("VERSION_CODENAME") ?? "sid" };
}

/** `NAME=value` lines, the values in quotes or not (man 5 os-release). */
function parseOsRelease(text: string): Map<string, string> {
  const assignments = text
    .split("\n")
    .map((line) => /^(?<name>[A-Z_]+)=(?<quote>["']?)(?<value>.*)\k<quote>$/.exec(line));
  return new Map(
    assignments.flatMap((match) => (match?.groups ? [[match.groups["name"]!, match.groups["value"]!]] : [])),
  );
}

/** apt with a state of its own in a folder of its own. */
export class PrivateApt {
  readonly #folder: string;
  readonly #env: { APT_CONFIG: string };

  private constructor(folder: string) {
    this.#folder = folder;
    this.#env = { APT_CONFIG: join(folder, "apt.conf") };
  }

  /**
   * Fetches the package lists of the first source that serves them.
   *
   * @param folder an empty or missing folder that apt may use until the caller removes it
   * @throws UserError with the first source's answer when none does
   */
  static async open(folder: string, request: AptRequest, onProgress: (fraction: number) => void): Promise<PrivateApt> {
    let failure: unknown;
    for (const [index, source] of request.sources.entries()) {
      const apt = new PrivateApt(join(folder, `source-${index}`));
      try {
        await apt.#configure(source, request);
        await apt.#update(onProgress);
        return apt;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failure ??= error;
      }
    }
    throw failure ?? new UserError("this machine's apt has no sources of its own release");
  }

  /** The newest version of each package, by name; names that the release does not have are missing from the answer. */
  async records(names: readonly string[]): Promise<Map<string, PackageRecord>> {
    const text = await this.#apt("apt-cache", ["show", "--no-all-versions", ...names]).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      return Buffer.alloc(0); // not one of them is known
    });
    const stanzas = text.toString().split("\n\n").map(parseRecord);
    return new Map(stanzas.flatMap((record) => (record.has("Package") ? [[record.get("Package")!, record]] : [])));
  }

  /** The names of all packages that begin so. */
  async names(prefix: string): Promise<string[]> {
    return (await this.#apt("apt-cache", ["pkgnames", prefix])).toString().split("\n").filter(Boolean);
  }

  /** The packages that installing these would add to what is installed, these included. */
  async closure(names: readonly string[]): Promise<string[]> {
    const options = ["--simulate", "--no-install-recommends", "-o", "Debug::NoLocking=1"];
    const plan = await this.#apt("apt-get", ["install", ...options, ...names]);
    return [...plan.toString().matchAll(/^Inst (?<name>\S+)/gm)].map((match) => match.groups!["name"]!);
  }

  /** Downloads packages into a folder and unpacks them, without installing anything, below `root`. */
  async unpack(names: readonly string[], root: string, onProgress: (fraction: number) => void): Promise<void> {
    const archives = await mkdtemp(join(this.#folder, "archives-"));
    await mkdir(root, { recursive: true });
    await this.#apt("apt-get", ["download", ...names], { cwd: archives, onStatus: downloadStatus(onProgress) });
    for (const archive of (await readdir(archives)).sort()) {
      if (archive.endsWith(".deb")) await run("dpkg-deb", ["--extract", join(archives, archive), root]);
    }
    await rm(archives, { recursive: true });
  }

  /** The contents of a file, decompressed if it is compressed: apt can, whatever else the machine has. */
  async decompressed(path: string): Promise<Buffer> {
    return await this.#apt("/usr/lib/apt/apt-helper", ["cat-file", path]);
  }

  async #configure(source: string, { architecture, installed }: AptRequest): Promise<void> {
    const inFolder = (name: string): string => join(this.#folder, name);
    for (const name of ["lists/partial", "cache/archives/partial", "sources", "none.d"]) {
      await mkdir(inFolder(name), { recursive: true });
    }
    await writeFile(inFolder("none"), "");
    await writeFile(inFolder("sources/debian.sources"), source);
    const settings: readonly (readonly [string, string])[] = [
      // Read before the machine's own files, and so what keeps them from being read: their hooks are not for us.
      ["Dir::Etc::Main", inFolder("none")],
      ["Dir::Etc::Parts", inFolder("none.d")],
      ["Dir::Etc::SourceList", inFolder("none")],
      ["Dir::Etc::SourceParts", inFolder("sources")],
      ["Dir::Etc::Preferences", inFolder("none")],
      ["Dir::Etc::PreferencesParts", inFolder("none.d")],
      ["Dir::State", this.#folder],
      ["Dir::State::Lists", inFolder("lists")],
      ["Dir::State::Status", installed ?? inFolder("none")],
      ["Dir::Cache", inFolder("cache")],
      ["APT::Architecture", architecture],
      ["APT::Architectures::", architecture],
      // apt run by root drops to a user who may not enter the cache folder.
      ["APT::Sandbox::User", "root"],
      // A mirror that does not answer is an error, not a warning, and not a long wait.
      ["APT::Update::Error-Mode", "any"],
      ["Acquire::Retries", "1"],
      ["Acquire::http::Timeout", "20"],
      ["Acquire::https::Timeout", "20"],
      ["Acquire::Languages", "none"],
    ];
    const quoted = settings.map(([name, value]) => `${name} ${JSON.stringify(value)};\n`);
    await writeFile(this.#env.APT_CONFIG, [...quoted, ...(await networkSettings())].join(""));
  }

  async #update(onProgress: (fraction: number) => void): Promise<void> {
    await this.#apt("apt-get", ["update"], { onStatus: downloadStatus(onProgress) });
  }

  async #apt(
    command: string,
    args: readonly string[],
    options: { cwd?: string; onStatus?: (line: string) => void } = {},
  ): Promise<Buffer> {
    const status = options.onStatus === undefined ? [] : ["-o", "APT::Status-Fd=3"];
    return await run(command, [...status, ...args], { ...options, env: this.#env });
  }
}

/** How the machine's apt reaches its mirrors: proxies, certificates, time-outs. Hooks and index formats are left out. */
async function networkSettings(): Promise<string[]> {
  const dump = (await run("apt-config", ["dump"])).toString();
  const kept = dump
    .split("\n")
    .filter((line) => /^Acquire::(?!Languages|IndexTargets|Changelogs|GzipIndexes|CompressionTypes)/.test(line));
  return kept.map((line) => `${line}\n`);
}

function parseRecord(text: string): PackageRecord {
  const fields = text.split(/\n(?! )/).map((line) => /^(?<name>[^\s:]+):\s*(?<value>.*)$/s.exec(line));
  return new Map(fields.flatMap((match) => (match?.groups ? [[match.groups["name"]!, match.groups["value"]!]] : [])));
}

/** Progress lines of apt are `dlstatus:<number>:<percent>:<words>`. */
function downloadStatus(onProgress: (fraction: number) => void): (line: string) => void {
  return (line) => {
    const percent = /^dlstatus:\d+:(?<percent>[\d.]+):/.exec(line)?.groups?.["percent"];
    if (percent !== undefined) onProgress(Number(percent) / 100);
  };
}
