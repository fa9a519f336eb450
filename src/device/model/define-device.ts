// defineDevice: from what an author writes to a type that machines make devices of.

import { AddressSpace } from "../../memory/address-space.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import { EventQueue } from "../../util/clock.ts";
import { silentLog } from "../../util/log.ts";
import { type DeviceHost, type SysBusDevice, sysBusDeviceType } from "../device.ts";
import { checkDevice } from "./check-device.ts";
import { DefinedDevice } from "./defined-device.ts";
import { DefinitionError } from "./device-error.ts";
import { layOut } from "./layout.ts";
import type { Design } from "./life.ts";
import type { PropertySpecs } from "./properties.ts";
import type { RegisterMap } from "./register-map.ts";
import { ViewFactory } from "./register-view.ts";
import type { RegisterSpecs } from "./registers.ts";
import { markSite } from "./source-line.ts";
import type { AnySpec, DeviceSpec, IrqSpecs } from "./spec.ts";

/**
 * What `defineDevice` makes: a type for machines, and a description for everything else.
 * @example const devices: readonly DeviceDefinition[] = [bananaRom, bananaDma];
 */
export interface DeviceDefinition<
  R extends RegisterSpecs = RegisterSpecs,
  P extends PropertySpecs = PropertySpecs,
  I extends IrqSpecs = IrqSpecs,
  S extends object = object,
> {
  /** The name that users type. */
  readonly type: string;
  /** The registers, interrupts and properties as plain data. */
  readonly registerMap: RegisterMap;
  /** The properties, as the author wrote them. */
  readonly properties: P;
  /** The interrupt outputs, as the author wrote them. */
  readonly irqs: I;
  /** The type, for machines: `createObject(bananaDma.typeInfo)`. */
  readonly typeInfo: TypeInfo<DefinedDevice<R, S>>;
}

/**
 * Defines a device: its registers as data, its behaviour as functions.
 *
 * @throws UserError for a mistake that types cannot find: one line with device, register, field and source line
 * @example
 * export const bananaTimer = defineDevice({
 *   type: "banana-timer",
 *   compatible: "acme,banana-timer",
 *   irqs: ["expired"],
 *   mmio: { size: 0x100 },
 *   registers: {
 *     CTRL: reg32(0x0, { fields: { START: pulse(0), IRQ_EN: rw(1) } }),
 *     STATUS: reg32(0x4, { fields: { RUNNING: ro(0), EXPIRED: w1c(1) } }),
 *     DELAY: reg32(0x8, { doc: "in microseconds" }),
 *   },
 *   setup({ regs: { CTRL, STATUS, DELAY }, on, irq, timer }) {
 *     irq.expired(() => CTRL.IRQ_EN && STATUS.EXPIRED);
 *     const delay = timer("delay", () => {
 *       STATUS.RUNNING = false;
 *       STATUS.EXPIRED = true;
 *     });
 *     on.write("CTRL.START", () => {
 *       STATUS.RUNNING = true;
 *       delay.after(DELAY.value * 1000);
 *     });
 *   },
 * });
 */
export function defineDevice<
  const R extends RegisterSpecs = {},
  P extends PropertySpecs = {},
  const I extends IrqSpecs = readonly [],
  S extends object = {},
>(spec: DeviceSpec<R, P, I, S>): DeviceDefinition<R, P, I, S> {
  markSite(spec);
  const registerMap = checkDevice(spec as unknown as AnySpec);
  const { type, mmio } = spec;
  const layout = layOut(registerMap);
  const design: Design = { type, mmio, spec: spec as unknown as AnySpec, layout, views: new ViewFactory(registerMap) };
  const typeInfo: TypeInfo<DefinedDevice<R, S>> = {
    name: type,
    parent: sysBusDeviceType,
    ...(spec.description !== undefined && { description: spec.description }),
    properties: Object.fromEntries(Object.entries(spec.properties ?? {}).map(([name, { info }]) => [name, info])),
    create: (made) => new DefinedDevice(made, design),
  };
  tryOut(new DefinedDevice<R, S>(typeInfo, design, true));
  const { properties = {} as P, irqs = [] as unknown as I } = spec;
  return Object.freeze({ type, registerMap, properties, irqs, typeInfo });
}

/**
 * Runs `setup` once for nobody, because it says which interrupts are driven and what has which name. What the author's
 * own code throws is no matter of ours here: it may lack the properties that a user will give.
 */
function tryOut(device: SysBusDevice): void {
  try {
    device.realize(nowhere());
    device.unrealize();
  } catch (error) {
    if (error instanceof DefinitionError) throw error;
  }
}

/** A machine with nothing in it, at the beginning of time. */
function nowhere(): DeviceHost {
  return {
    clock: new EventQueue(() => 0),
    log: silentLog,
    memory: new AddressSpace(MemoryRegion.container("nothing", 1), "nothing"),
    allocateRam: (size) => new Uint8Array(size),
    wallClock: () => 0n,
    shutdown: () => {},
    random: () => {},
  };
}
