// Which line of the user's file is behind something: the first frame of a stack that is not Plantain's own.

/**
 * The folder of Plantain's own code, without the scheme; other rooms are called on the way too. In a bundle's file, which is
 * .cache/bundle/NAME/FILE, this names the folder that all bundles are in.
 */
const OWN = pathOf(new URL("../../", import.meta.url).href);

const sites = new WeakMap<object, Error>();

/** Remembers where `made` is being made. The stack is only turned into text if somebody asks. */
export function markSite<T extends object>(made: T): T {
  sites.set(made, new Error());
  return made;
}

/** ` (file:line:column)` of the user's code that made `made`, for the end of a message; nothing if it is not known. */
export function siteOf(made: unknown): string {
  const error = typeof made === "object" && made !== null ? sites.get(made) : undefined;
  return error === undefined ? "" : lineOf(error);
}

/** ` (file:line:column)` of the user's code in the stack of `error`, nothing if there is none. */
export function lineOf(error: unknown): string {
  if (!(error instanceof Error) || typeof error.stack !== "string") return "";
  for (const line of error.stack.split("\n")) {
    const place = frameOf(line);
    if (place !== undefined && !place.path.startsWith(OWN)) return ` (${place.path}:${place.line}:${place.column})`;
  }
  return "";
}

/** The file of a frame: `    at run (file:///home/me/dma.ts:3:7)`, or `run@http://host/dma.ts:3:7` of other engines. */
function frameOf(text: string): { readonly path: string; readonly line: string; readonly column: string } | undefined {
  const inParentheses = /\(([^()]+)\)\s*$/.exec(text)?.[1];
  const frame = inParentheses ?? /^\s*at (?:async )?(.+)$/.exec(text)?.[1] ?? /^[^@]*@(.+)$/.exec(text)?.[1];
  const [, url, line, column] = /^(.+?):(\d+):(\d+)$/.exec(frame ?? "") ?? [];
  if (
    url === undefined ||
    line === undefined ||
    column === undefined ||
    url.startsWith("node:") ||
    /[/\\]node_modules[/\\]/.test(url)
  ) {
    return undefined;
  }
  return { path: pathOf(url), line, column };
}

/** A file's path as people write it; a reloaded module's URL has a query. */
function pathOf(url: string): string {
  const plain = url.replace(/[?#].*$/, "");
  if (!plain.startsWith("file://")) return plain;
  const path = decodeURIComponent(plain.slice("file://".length));
  return /^\/[A-Za-z]:\//.test(path) ? path.slice(1) : path;
}
