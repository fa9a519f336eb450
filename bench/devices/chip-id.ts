import { defineDevice, reg32 } from "plantain/device";

/** The banana ROM with its register declared: what a read through the register model costs. */
export const chipId = defineDevice({
  type: "chip-id",
  mmio: { size: 0x100, unmapped: 0xdeadbeef },
  registers: { CHIP_ID: reg32(0x00, { access: "ro", reset: 0xba000001 }) },
});
