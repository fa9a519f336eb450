// All benchmarks, in the order of the table.

import type { Benchmark } from "../benchmark.ts";
import { bareKernels } from "./bare-kernels.ts";
import { boot } from "./boot.ts";
import { benchTest, deviceLines, modelReads } from "./device-kit.ts";
import { forkMemory, forks } from "./forks.ts";
import { idle } from "./idle.ts";
import { interpreter } from "./interpreter.ts";
import { linuxKernels } from "./linux-kernels.ts";
import { memory } from "./memory.ts";
import { mmio } from "./mmio.ts";
import { start } from "./start.ts";
import { watch } from "./watch.ts";

export const benchmarks: readonly Benchmark[] = [
  bareKernels,
  linuxKernels,
  boot,
  mmio,
  interpreter,
  start,
  modelReads,
  benchTest,
  deviceLines,
  forks,
  forkMemory,
  watch,
  memory,
  idle,
];
