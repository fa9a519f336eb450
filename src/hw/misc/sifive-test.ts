// The test finisher: lets the guest end the machine with an exit status, or reset it.
// SiFive's test finisher as the `virt` board has it; the values are also what syscon-poweroff and syscon-reboot write.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import { rw } from "../../device/model/fields.ts";
import { reg32 } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";
import { cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";

const REGION_SIZE = 0x1000;

/** What the low half of the register asks for. */
const PASS = 0x5555;
const FAIL = 0x3333;
const RESET = 0x7777;

/** The type of the test finisher. */
export const sifiveTestType: TypeInfo<SysBusDevice> = {
  name: "riscv.sifive.test",
  parent: sysBusDeviceType,
  description: "test finisher: ends or resets the machine",
  create: (type) => new SifiveTest(type),
};

class SifiveTest extends SysBusDevice {
  constructor(type: TypeInfo) {
    super(type);
    this.initMmio(
      MemoryRegion.io("riscv.sifive.test", REGION_SIZE, {
        read: () => 0,
        write: (offset, value) => this.#write(offset, value),
        valid: { min: 2, max: 4 },
      }),
    );
  }

  #write(offset: number, value: number): void {
    const request = value & 0xffff;
    if (offset === 0 && request === PASS) {
      this.host.shutdown({ kind: "poweroff", status: 0 });
    } else if (offset === 0 && request === FAIL) {
      this.host.shutdown({ kind: "poweroff", status: value >>> 16 });
    } else if (offset === 0 && request === RESET) {
      this.host.shutdown({ kind: "reset", status: 0 });
    } else {
      this.guestError(`write of 0x${value.toString(16)} at offset 0x${offset.toString(16)} asks for nothing known`);
    }
  }

  override registerNames(): RegisterNames {
    const request = { NONE: 0, FAIL, PASS, RESET };
    return registerNames({ type: this.typeInfo.name, irqs: [], size: REGION_SIZE }, [
      { FINISH: reg32(0, { fields: { REQUEST: rw([15, 0], request), STATUS: rw([31, 16]) } }) },
    ]);
  }

  override describe(context: FdtContext): void {
    const phandle = context.phandle(this);
    context.soc
      .child(`test@${context.base.toString(16)}`)
      .prop("compatible", ["sifive,test1", "sifive,test0", "syscon"])
      .prop("reg", cells64(context.base, context.size))
      .prop("phandle", phandle);
    for (const [name, value] of [
      ["reboot", RESET],
      ["poweroff", PASS],
    ] as const) {
      context.root
        .child(name)
        .prop("compatible", `syscon-${name}`)
        .prop("regmap", phandle)
        .prop("offset", 0)
        .prop("value", value);
    }
  }
}
