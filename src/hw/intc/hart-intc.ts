// The harts' own interrupt controllers, as the device tree names them and as their inputs are numbered.
// RISC-V Privileged Architecture, 3.1.9 (interrupt numbers in mip).

/** The numbers of a hart's interrupt inputs. */
export const HartIrq = {
  machineSoftware: 3,
  machineTimer: 7,
  supervisorExternal: 9,
  machineExternal: 11,
} as const;

/** The key under which a device tree keeps the phandle of a hart's interrupt controller (`FdtContext.phandle`). */
export function hartIntcKey(hartid: number): string {
  return `hart${hartid}-intc`;
}
