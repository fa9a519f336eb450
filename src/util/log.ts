// The machine's log: what QEMU's `-d` shows.

/** The items that can be logged, by the names that `-d` takes. */
export type LogItem = "guest_errors" | "unimp" | "int" | "mmu" | "in_asm" | "exec" | "cpu" | "jit";

/** Where a machine and its devices write their log. Ask `enabled` before building a costly line. */
export interface Log {
  enabled(item: LogItem): boolean;
  /** Writes one line, given without its newline; does nothing while the item is not enabled. */
  write(item: LogItem, line: string): void;
}

/** The log of a machine that nobody listens to. */
export const silentLog: Log = {
  enabled: () => false,
  write: () => {},
};
