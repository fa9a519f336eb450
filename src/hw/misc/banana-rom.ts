// The banana ROM of the article "Writing a custom device for QEMU": a chip that only says who it is. It is made the way
// the article makes it, step by step: docs/devices/banana-rom.md has both side by side.

import { type DeviceHost, SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import { reg32 } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import { createObject } from "../../qom/type-registry.ts";

const REGION_SIZE = 0x100;
const CHIP_ID_OFFSET = 0x0;

const CHIP_ID = 0xba00_0001;
/** What every other offset reads as. */
const NOTHING = 0xdead_beef;

/** The type of the banana ROM. */
export const bananaRomType: TypeInfo<SysBusDevice> = {
  name: "banana-rom",
  parent: sysBusDeviceType,
  description: "read-only chip identification",
  create: (type) => new BananaRom(type),
};

class BananaRom extends SysBusDevice {
  readonly #chipId = CHIP_ID;

  constructor(type: TypeInfo) {
    super(type);
    // There is no write callback: the memory layer logs a write as a guest error and ignores it.
    this.initMmio(MemoryRegion.io("banana-rom", REGION_SIZE, { read: (offset) => this.#read(offset) }));
  }

  override registerNames(): RegisterNames {
    const { name: type } = this.typeInfo;
    return registerNames({ type, irqs: [], size: REGION_SIZE }, [{ CHIP_ID: reg32(CHIP_ID_OFFSET, { access: "ro" }) }]);
  }

  #read(offset: number): number {
    return offset === CHIP_ID_OFFSET ? this.#chipId : NOTHING;
  }
}

/**
 * Puts a banana ROM on a board; its init calls this.
 *
 * @param system the region to map it into
 * @param address where in `system`
 * @example createBananaRom(host, system, 0x400_0000n)
 */
export function createBananaRom(host: DeviceHost, system: MemoryRegion, address: bigint): SysBusDevice {
  const device = createObject(bananaRomType);
  device.realize(host);
  system.addSubregion(address, device.mmio[0]!);
  return device;
}
