import { constant, defineDevice, prop, reg32, rw, w1c } from "plantain/device";

/** How far a milliwatt of the heater lifts the temperature in the end: degrees. */
const DEGREES_PER_MILLIWATT = 0.1;

/**
 * A thermometer with a heater. The temperature nears what surroundings and heater would make it, exponentially; the chip
 * takes a sample every PERIOD and interrupts when one is above LIMIT.
 */
export const bananaSensor = defineDevice({
  type: "banana-sensor",
  description: "thermometer with a heater",
  compatible: "acme,banana-sensor",
  deviceTree: { node: "temperature-sensor" },
  properties: {
    ambient: prop.int(25_000, "temperature around it, in thousandths of a degree Celsius"),
    tau: prop(2_000, "how slow it is: after so many milliseconds 63 % of the way is gone"),
  },
  irqs: ["alarm"],
  mmio: { size: 0x100 },
  registers: {
    ID: reg32(0x00, { fields: { CHIP: constant([31, 16], 0xba5e), REVISION: constant([7, 0], 2) } }),
    CTRL: reg32(0x04, { fields: { ENABLE: rw(0, "take samples"), IRQ_EN: rw(1, "raise alarm on ABOVE") } }),
    STATUS: reg32(0x08, { fields: { READY: w1c(0, "a new sample is in TEMP"), ABOVE: w1c(1, "one was above LIMIT") } }),
    PERIOD: reg32(0x0c, { reset: 100_000, doc: "time between samples in microseconds" }),
    TEMP: reg32(0x10, { access: "ro", doc: "the last sample: thousandths of a degree Celsius, two's complement" }),
    LIMIT: reg32(0x14, { reset: 80_000, doc: "as TEMP" }),
    HEATER: reg32(0x18, { fields: { POWER: rw([9, 0], "milliwatts") } }),
  },
  // What it was at a moment, and with which heater it goes on from there.
  state: () => ({ degrees: Number.NaN, since: 0, power: 0 }),
  setup({ regs: { CTRL, STATUS, PERIOD, TEMP, LIMIT }, props, state, on, irq, timer, now }) {
    const temperature = () => {
      const end = props.ambient / 1000 + state.power * DEGREES_PER_MILLIWATT;
      return end + (state.degrees - end) * Math.exp(-(now() - state.since) / (props.tau * 1e6));
    };
    const goOnFrom = (degrees: number, power: number) => Object.assign(state, { degrees, since: now(), power });

    irq.alarm(() => CTRL.IRQ_EN && STATUS.ABOVE);

    on.reset((before) => {
      // A reset does not cool the chip, it only turns the heater off.
      Object.assign(state, before);
      goOnFrom(Number.isNaN(state.degrees) ? props.ambient / 1000 : temperature(), 0);
    });
    on.change("HEATER.POWER", (power) => goOnFrom(temperature(), power));
    on.change("CTRL.ENABLE", (enabled) => (enabled ? restart() : sample.cancel()));
    on.write("PERIOD", () => CTRL.ENABLE && restart());

    const restart = () => sample.every(Math.max(1, PERIOD.value) * 1000);
    const sample = timer("sample", () => {
      TEMP.value = Math.round(temperature() * 1000) >>> 0;
      STATUS.READY = true;
      if ((TEMP.value | 0) > (LIMIT.value | 0)) STATUS.ABOVE = true;
    });
  },
});
