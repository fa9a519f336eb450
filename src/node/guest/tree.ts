// The files of a small Linux system as data, before they become an initramfs or a disk image. Everything belongs to root.

/** One entry of a file tree. `path` has no leading slash; a folder comes before what it holds. */
export type TreeEntry =
  | { readonly kind: "directory"; readonly path: string; readonly mode?: number }
  | { readonly kind: "file"; readonly path: string; readonly data: Uint8Array | string; readonly mode?: number }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string }
  | { readonly kind: "character"; readonly path: string; readonly major: number; readonly minor: number };

const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 } as const;
const defaultMode = { directory: 0o755, file: 0o644, symlink: 0o777, character: 0o600 } as const;
const text = new TextEncoder();

/** The entry's `st_mode`: its type and its permissions. */
export function modeOf(entry: TreeEntry): number {
  return typeBits[entry.kind] | (("mode" in entry ? entry.mode : undefined) ?? defaultMode[entry.kind]);
}

/** What the entry holds as bytes: a file's data, a link's target, nothing for folders and devices. */
export function contentOf(entry: TreeEntry): Uint8Array {
  if (entry.kind === "symlink") return text.encode(entry.target);
  if (entry.kind !== "file") return new Uint8Array();
  return typeof entry.data === "string" ? text.encode(entry.data) : entry.data;
}
