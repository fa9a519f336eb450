// The fields of virtio-mmio's registers, for traces. VIRTIO 1.2, sections 2.1 (status) and 4.2.2 (registers).

import { ro, rw, wo } from "../../device/model/fields.ts";
import { reg32 } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";

const READ = ["MagicValue", "Version", "DeviceID", "VendorID", "DeviceFeatures", "QueueNumMax", "ConfigGeneration"];
const INTERRUPTS = ["USED_BUFFER", "CONFIG_CHANGE"];
const STATUS = {
  ACKNOWLEDGE: rw(0),
  DRIVER: rw(1),
  DRIVER_OK: rw(2),
  FEATURES_OK: rw(3),
  DEVICE_NEEDS_RESET: rw(6),
  FAILED: rw(7),
};

/** @param offsets of the registers by name; the device's configuration behind them has no names here */
export function virtioMmioRegisters(
  type: string,
  irqs: readonly string[],
  size: number,
  offsets: Readonly<Record<string, number>>,
): RegisterNames {
  const registers = Object.entries(offsets).map(([name, offset]) => {
    if (name === "Status") return [name, reg32(offset, { fields: STATUS })] as const;
    if (name.startsWith("Interrupt")) {
      const bit = name === "InterruptACK" ? wo : ro;
      const fields = Object.fromEntries(INTERRUPTS.map((interrupt, n) => [interrupt, bit(n)]));
      return [name, reg32(offset, { fields })] as const;
    }
    return [name, reg32(offset, READ.includes(name) ? { access: "ro" } : {})] as const;
  });
  return registerNames({ type, irqs, size }, [Object.fromEntries(registers)]);
}
