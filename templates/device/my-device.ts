import { constant, defineDevice, prop, pulse, reg32, ro, rw, w1c } from "plantain/device";

/** Counts COUNT ticks after START, then raises `done` until DONE is cleared by writing 1. */
export const myDevice = defineDevice({
  type: "my-device",
  description: "counts ticks and interrupts",
  // Linux finds the driver by it.
  compatible: "acme,my-device",
  properties: { nsPerTick: prop(1000, "nanoseconds of a tick") },
  irqs: ["done"],
  mmio: { size: 0x100 },
  registers: {
    ID: reg32(0x00, { fields: { VERSION: constant([7, 0], 1), MAGIC: constant([31, 8], 0xdec0de) } }),
    CTRL: reg32(0x04, {
      fields: { START: pulse(0, "begins to count"), IRQ_EN: rw(1, "raise done when the count has ended") },
    }),
    STATUS: reg32(0x08, { fields: { BUSY: ro(0, "counting"), DONE: w1c(1, "the count has ended") } }),
    COUNT: reg32(0x0c, { doc: "ticks to count" }),
  },
  setup({ regs: { CTRL, STATUS, COUNT }, props, on, irq, timer, guestError }) {
    irq.done(() => CTRL.IRQ_EN && STATUS.DONE);

    on.write("CTRL.START", () => {
      if (STATUS.BUSY) return guestError("START while BUSY");
      STATUS.BUSY = true;
      end.after(COUNT.value * props.nsPerTick);
    });

    const end = timer("end", () => {
      STATUS.BUSY = false;
      STATUS.DONE = true;
    });
  },
});
