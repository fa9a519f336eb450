import { defineDevice, prop, reg32, ro, rw, UserError, w1c, wo } from "plantain/device";

/** A serial line with a FIFO of 16 bytes in each direction; a byte takes ten bits' time to go out. */
export const bananaUart = defineDevice({
  type: "banana-uart",
  description: "serial line with FIFOs",
  compatible: "acme,banana-uart",
  deviceTree: { node: "serial", properties: ({ baud }) => ({ "current-speed": baud }) },
  properties: { chardev: prop.chardev("the other end of the line"), baud: prop(115_200, "bits per second") },
  irqs: ["irq"],
  mmio: { size: 0x100 },
  registers: {
    RX: reg32(0x00, { fields: { BYTE: ro([7, 0], "the next byte received; 0 if there is none") } }),
    TX: reg32(0x04, { fields: { BYTE: wo([7, 0], "a byte to send") } }),
    STATUS: reg32(0x08, {
      fields: {
        RX_READY: ro(0, "a byte waits in RX"),
        TX_FULL: ro(1, "TX takes no byte now"),
        TX_EMPTY: ro(2, "everything has been sent"),
        OVERRUN: w1c(3, "a byte was written while TX_FULL, and is lost"),
        RX_LEVEL: ro([12, 8], "bytes in the receiver's FIFO"),
      },
    }),
    CTRL: reg32(0x0c, {
      fields: { RX_IE: rw(0, "interrupt on RX_READY"), TX_IE: rw(1, "interrupt on TX_EMPTY") },
    }),
  },
  setup({ regs: { STATUS, CTRL }, props, on, derive, irq, fifo, stream, timer }) {
    if (props.baud === 0) throw new UserError("banana-uart.baud: 0 bits per second never end");
    const rx = fifo("rx", { depth: 16 });
    const tx = fifo("tx", { depth: 16 });
    const line = stream("chardev", rx);

    on.read("RX.BYTE", () => rx.pop() ?? 0);
    on.write("TX.BYTE", (byte) => {
      if (!tx.push(byte)) STATUS.OVERRUN = true;
      else if (!shift.armed) shift.every(1e10 / props.baud);
    });
    const shift = timer("shift", () => {
      line.write(tx.pop()!);
      if (tx.empty) shift.cancel();
    });

    derive("STATUS.RX_READY", () => !rx.empty);
    derive("STATUS.RX_LEVEL", () => rx.length);
    derive("STATUS.TX_FULL", () => tx.full);
    derive("STATUS.TX_EMPTY", () => tx.empty);
    irq.irq(() => (CTRL.RX_IE && STATUS.RX_READY) || (CTRL.TX_IE && STATUS.TX_EMPTY));
  },
});
