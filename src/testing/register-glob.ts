// Names of registers with `*` for anything: `*`, `CH[*].CTRL`.

/** @param pattern a name; `*` in it stands for any characters */
export function globOf(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[\\^$.+?()[\]{}|]/g, "\\$&"));
  return RegExp(`^${parts.join(".*")}$`);
}
