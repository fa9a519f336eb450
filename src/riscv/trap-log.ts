/** Trap lines for the log, in the form that QEMU's `-d int` has. */
import type { Hart } from "./hart.ts";
import { S } from "./layout.ts";

const EXCEPTIONS = [
  "misaligned_fetch",
  "fault_fetch",
  "illegal_instruction",
  "breakpoint",
  "misaligned_load",
  "fault_load",
  "misaligned_store",
  "fault_store",
  "user_ecall",
  "supervisor_ecall",
  "hypervisor_ecall",
  "machine_ecall",
  "exec_page_fault",
  "load_page_fault",
  "reserved",
  "store_page_fault",
];
const INTERRUPTS: Readonly<Record<number, string>> = {
  1: "s_software",
  3: "m_software",
  5: "s_timer",
  7: "m_timer",
  9: "s_external",
  11: "m_external",
};

/** The line for the trap that a hart is about to enter (the engine's `onTrap`). */
export function trapLine(hart: Hart): string {
  const cause = hart.get64(S.fa);
  const number = Number(cause & 63n);
  const interrupt = cause >> 63n === 1n;
  const name = (interrupt ? INTERRUPTS[number] : EXCEPTIONS[number]) ?? "reserved";
  const hex = (v: bigint) => v.toString(16).padStart(16, "0");
  return `riscv_cpu_do_interrupt: hart:${hart.index}, async:${interrupt ? 1 : 0}, cause:${hex(BigInt(number))}, epc:0x${hex(hart.pc)}, tval:0x${hex(hart.get64(S.fb))}, desc=${name}`;
}
