// The public entry "plantain/testing" in Node: tests of devices without a machine, and with a booted Linux.

export { DeviceTrace, type TraceFilter, type TraceSettings } from "../testing/device-trace.ts";
export { type CommandResult, GuestConsole, type WaitOptions } from "../testing/guest-console.ts";
export * from "../testing/index.ts";
export { type Traceable, Vm, type VmMemory } from "../testing/vm.ts";
export type { TraceRecord } from "../trace/record.ts";
export { type BootConfig, type BootDevice, type BootImages, boot } from "./boot.ts";
export { type BuildModuleOptions, buildModule, buildProgram, missingGuest } from "./guest/build-module.ts";
export type { GuestFiles } from "./guest/files.ts";
