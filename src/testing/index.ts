// The public entry "plantain/testing": tests of devices without a machine.

export { BenchLine } from "./bench-line.ts";
export { type Misuse, type MisuseKind, misuses } from "./misuse.ts";
export type { BenchAccess, DeviceRecords, IrqEdge } from "./records.ts";
export { type BenchRam, type Testbench, type TestbenchOptions, testbench } from "./testbench.ts";
