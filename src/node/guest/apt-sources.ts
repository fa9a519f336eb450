// Reads the machine's own apt sources, in both of their formats (man 5 sources.list), to find the mirrors of the Debian
// archive that this machine already uses and trusts.

/** One mirror of the Debian archive. */
export interface Mirror {
  readonly uri: string;
  /** Of `Signed-By`: a keyring file, or a key in its ASCII form with the continuation lines as they stand. */
  readonly signedBy?: string;
}

/** One source: the cross product of its URIs and suites. */
interface Source {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly signedBy?: string;
}

/** Names of releases and of their roles; other repositories than the archive's call their suites otherwise. */
const ARCHIVE_SUITES = ["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];

/** Suites of the archive that belong to a release. */
const RELEASE_PARTS = ["", "-updates", "-security", "-backports", "/updates"];

/** A file that apt reads: the name decides the format (`.sources` or the one-line one). */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/**
 * The archive mirrors among the machine's sources, in their order.
 *
 * @param codename the machine's own release, from os-release
 */
export function findMirrors(files: readonly SourceFile[], codename: string): Mirror[] {
  const mirrors = new Map<string, Mirror>();
  for (const { uris, suites, components, signedBy } of files.flatMap(parseFile)) {
    const isArchive = suites.some((suite) => suite === codename || ARCHIVE_SUITES.includes(suite));
    if (!isArchive || !components.includes("main")) continue;
    for (const uri of uris) {
      if (uri.startsWith("cdrom:") || mirrors.has(uri)) continue;
      mirrors.set(uri, signedBy === undefined ? { uri } : { uri, signedBy });
    }
  }
  return [...mirrors.values()];
}

/** What the machine's sources name of its own release, updates and security included, as a `.sources` file. */
export function releaseSources(files: readonly SourceFile[], codename: string): string {
  const stanzas = files.flatMap(parseFile).flatMap(({ uris, suites, components, signedBy }) => {
    const parts = suites.filter((suite) => RELEASE_PARTS.some((part) => suite === codename + part));
    if (parts.length === 0 || !components.includes("main")) return [];
    return uris.filter((uri) => !uri.startsWith("cdrom:")).map((uri) => stanza(uri, parts.join(" "), signedBy));
  });
  return stanzas.join("\n");
}

/** A `.sources` file for one suite of one mirror. */
export function mirrorSource({ uri, signedBy }: Mirror, suite: string): string {
  return stanza(uri, suite, signedBy);
}

function stanza(uri: string, suites: string, signedBy: string | undefined): string {
  const fields = ["Types: deb", `URIs: ${uri}`, `Suites: ${suites}`, "Components: main"];
  if (signedBy !== undefined) fields.push(`Signed-By: ${signedBy}`);
  return `${fields.join("\n")}\n`;
}

function parseFile({ name, text }: SourceFile): Source[] {
  return name.endsWith(".sources") ? parseStanzas(text) : parseLines(text);
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

/** `deb [ option=value ... ] uri suite component ...` */
function parseLines(text: string): Source[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[(?<options>[^\]]*)\]\s*)?(?<rest>[^#]*)/.exec(line);
    const [uri, suite, ...components] = words(match?.groups?.["rest"] ?? "");
    if (uri === undefined || suite === undefined) return [];
    const option = words(match?.groups?.["options"] ?? "").find((word) => word.startsWith("signed-by="));
    const source = { uris: [uri], suites: [suite], components };
    return [option === undefined ? source : { ...source, signedBy: option.slice("signed-by=".length) }];
  });
}

/** Stanzas of `Field: value`, continued on lines that begin with a blank, parted by empty lines. */
function parseStanzas(text: string): Source[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  return lines
    .join("\n")
    .split(/\n[ \t]*\n/)
    .flatMap((stanza) => {
      const fields = new Map<string, string>();
      let field = "";
      for (const line of stanza.split("\n")) {
        const match = /^(?<name>[^\s:]+):\s*(?<value>.*)$/.exec(line);
        if (match?.groups === undefined) {
          fields.set(field, `${fields.get(field) ?? ""}\n${line}`);
        } else {
          field = match.groups["name"]!.toLowerCase();
          fields.set(field, match.groups["value"]!);
        }
      }
      const list = (name: string): string[] => words(fields.get(name) ?? "");
      const isOff = /^\s*(no|false|without|off|disable)\s*$/i.test(fields.get("enabled") ?? "yes");
      if (isOff || !list("types").includes("deb")) return [];
      const source = { uris: list("uris"), suites: list("suites"), components: list("components") };
      const signedBy = fields.get("signed-by")?.trimEnd();
      return [signedBy === undefined ? source : { ...source, signedBy }];
    });
}
