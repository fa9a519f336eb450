import { BusError, defineDevice, prop, pulse, reg32, reg64, ro, rw, w1c } from "plantain/device";

/**
 * Copies LEN bytes from SRC to DST, or fills them with the low byte of SRC, and raises `done`. Addresses are physical.
 * One transfer at a time: START while BUSY is ignored.
 */
export const bananaDma = defineDevice({
  type: "banana-dma",
  description: "copies and fills memory",
  compatible: "acme,banana-dma",
  deviceTree: { node: "dma-controller" },
  properties: { nsPerByte: prop(10, "how long a byte takes, in nanoseconds") },
  irqs: ["done"],
  mmio: { size: 0x100 },
  registers: {
    CTRL: reg32(0x00, {
      fields: {
        START: pulse(0, "begins a transfer"),
        IRQ_EN: rw(1, "raise done when one has ended"),
        MODE: rw([3, 2], { COPY: 0, FILL: 1 }),
      },
    }),
    STATUS: reg32(0x04, {
      fields: { BUSY: ro(0), DONE: w1c(1, "a transfer has ended"), ERROR: w1c(2, "an address did not answer") },
    }),
    SRC: reg64(0x08, { doc: "address to read from, or the byte to fill with" }),
    DST: reg64(0x10, { doc: "address to write to" }),
    LEN: reg32(0x18, { doc: "bytes" }),
  },
  setup({ regs: { CTRL, STATUS, SRC, DST, LEN }, props, dma, timer, on, irq, guestError }) {
    irq.done(() => CTRL.IRQ_EN && (STATUS.DONE || STATUS.ERROR));

    on.write("CTRL.START", () => {
      if (STATUS.BUSY) return guestError("START while BUSY");
      STATUS.BUSY = true;
      transfer.after(LEN.value * props.nsPerByte);
    });

    const transfer = timer("transfer", () => {
      STATUS.BUSY = false;
      try {
        if (CTRL.MODE === "FILL") dma.fill(DST.value, LEN.value, Number(SRC.value & 0xffn));
        else dma.copy(DST.value, SRC.value, LEN.value);
        STATUS.DONE = true;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        STATUS.ERROR = true;
      }
    });
  },
});
