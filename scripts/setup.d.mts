import type { Progress } from "../src/node/guest/progress.ts";

export const root: string;
export function runScript(script: string): Promise<void>;
export function ensurePackages(progress: Progress): Promise<string>;
export function isInstalled(folder: string): boolean;
export function become(command: string, args: readonly string[]): Promise<void>;
