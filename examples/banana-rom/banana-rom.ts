import { defineDevice } from "plantain/device";

/** The banana chip's ROM: CHIP_ID at 0, and 0xDEADBEEF wherever else an access begins. */
export const bananaRom = defineDevice({
  type: "banana-rom",
  description: "read-only chip identification",
  compatible: "acme,banana-rom",
  mmio: { size: 0x100, read: (offset) => (offset === 0 ? 0xba000001 : 0xdeadbeef) },
});
