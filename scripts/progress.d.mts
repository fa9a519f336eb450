import type { Progress } from "../src/node/guest/progress.ts";

export function terminalProgress(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Progress;
