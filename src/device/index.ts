// The public entry "plantain/device": all that a device file imports.

export type { Chardev, ChardevEvent } from "../backend/chardev.ts";
export { BusError } from "../memory/bus-error.ts";
export type { AccessConstraints, AccessSize } from "../memory/io-callbacks.ts";
export { UserError } from "../util/user-error.ts";
export { cHeader } from "./c-header.ts";
export type { ShutdownReason } from "./device.ts";
export { type DeviceDefinition, defineDevice } from "./model/define-device.ts";
export { DefinedDevice, type SwapReport } from "./model/defined-device.ts";
export { DeviceError } from "./model/device-error.ts";
export type { Address, Dma } from "./model/dma.ts";
export {
  type Access,
  type Bits,
  constant,
  type EnumValues,
  type Field,
  type FieldMaker,
  pulse,
  rc,
  reserved,
  ro,
  rs,
  rw,
  sticky,
  unimplemented,
  w0c,
  w0s,
  w1c,
  w1s,
  w1t,
  wc,
  wo,
  ws,
} from "./model/fields.ts";
export type { Fifo, FifoOptions } from "./model/fifo.ts";
export type { DeviceTimer } from "./model/model-timer.ts";
export type {
  AccessEvent,
  ChangeEvent,
  DeviceObserver,
  DmaEvent,
  GuestErrorEvent,
  IrqEvent,
  RegisterAccess,
  SwapEvent,
  TimerEvent,
} from "./model/observer.ts";
export type { RegisterView, RegisterViews, ViewList } from "./model/paths.ts";
export { type Property, type PropertySpecs, type PropertyValues, prop } from "./model/properties.ts";
export {
  type BankInfo,
  type DecodedValue,
  decodeRegister,
  expandRegisters,
  type FieldInfo,
  type IrqInfo,
  type PlacedRegister,
  type RegisterInfo,
  type RegisterMap,
} from "./model/register-map.ts";
export {
  type Bank,
  type BankSpecs,
  bank,
  type FieldSpecs,
  type FieldValue,
  type Register,
  type RegisterArray,
  type RegisterOptions,
  type RegisterSpecs,
  reg8,
  reg16,
  reg32,
  reg64,
  regs,
  type Width,
  type Word,
} from "./model/registers.ts";
export {
  type Context,
  type DeviceSpec,
  type DeviceTreeSpec,
  type EdgeIrq,
  edge,
  type IrqOutputs,
  type IrqSpecs,
  type MmioSpec,
  type NotAPromise,
  type On,
} from "./model/spec.ts";
export type { Stream, StreamReceiver } from "./model/stream.ts";
export { registerDoc } from "./register-doc.ts";
