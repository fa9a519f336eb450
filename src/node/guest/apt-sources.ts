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

/**
 * The archive mirrors among the machine's sources, in their order.
 *
 * @param files the files that apt reads: `name` decides the format (`.sources` or the one-line one)
 * @param codename the machine's own release, from os-release
 */
export function findMirrors(files: readonly { name: string; text: string }[], codename: string): Mirror[] {
  const isArchive = ({ suites, components }: Source): boolean =>
    components.includes("main") && suites.some((suite) => suite === codename || ARCHIVE_SUITES.includes(suite));
  const mirrors = new Map<string, Mirror>();
  for (const { name, text } of files) {
    const sources = name.endsWith(".sources") ? parseStanzas(text) : parseLines(text);
    for (const { uris, signedBy } of sources.filter(isArchive)) {
      for (const uri of uris) {
        if (uri.startsWith("cdrom:") || mirrors.has(uri)) continue;
        mirrors.set(uri, signedBy === undefined ? { uri } : { uri, signedBy });
      }
    }
  }
  return [...mirrors.values()];
}

/** A `.sources` file for one suite of one mirror. */
export function sourceStanza({ uri, signedBy }: Mirror, suite: string): string {
  const fields = ["Types: deb", `URIs: ${uri}`, `Suites: ${suite}`, "Components: main"];
  if (signedBy !== undefined) fields.push(`Signed-By: ${signedBy}`);
  return `${fields.join("\n")}\n`;
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
