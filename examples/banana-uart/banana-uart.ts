import { defineDevice, prop, reg32, ro, rw, UserError, w1c, wo } from "plantain/device";

/** How many bytes' time received bytes wait at most before RX_IE tells of them, however few they are. */
const PATIENCE = 4;

/**
 * A serial line with a FIFO of 16 bytes in each direction; a byte takes ten bits' time to go out. How full the FIFOs are
 * when they interrupt is up to the driver.
 */
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
        RX_IDLE: ro(4, "bytes have waited for as long as four take to come"),
        RX_LEVEL: ro([12, 8], "bytes in the receiver's FIFO"),
        TX_LEVEL: ro([20, 16], "bytes in the transmitter's FIFO"),
      },
      reset: { TX_EMPTY: true },
    }),
    CTRL: reg32(0x0c, {
      fields: {
        RX_IE: rw(0, "interrupt when RX_LEVEL has reached TRIGGER.RX, or on RX_IDLE"),
        TX_IE: rw(1, "interrupt when TX_LEVEL is down to TRIGGER.TX"),
      },
    }),
    TRIGGER: reg32(0x10, {
      fields: { RX: rw([4, 0], "bytes; 0 is as 1"), TX: rw([12, 8], "bytes") },
      reset: { RX: 1 },
    }),
  },
  setup({ regs: { STATUS, CTRL, TRIGGER }, props, on, derive, irq, fifo, stream, timer }) {
    if (props.baud === 0) throw new UserError("banana-uart.baud: 0 bits per second never end");
    const rx = fifo("rx", { depth: 16 });
    const tx = fifo("tx", { depth: 16 });
    const byteTime = 1e10 / props.baud;
    const line = stream("chardev", {
      get free() {
        return rx.free;
      },
      push(byte) {
        rx.push(byte);
        waitForMore();
      },
    });

    const waitForMore = () => {
      STATUS.RX_IDLE = false;
      if (rx.empty) idle.cancel();
      else idle.after(PATIENCE * byteTime);
    };
    const idle = timer("idle", () => {
      STATUS.RX_IDLE = true;
    });
    on.read("RX.BYTE", () => {
      const byte = rx.pop() ?? 0;
      waitForMore();
      return byte;
    });
    on.write("TX.BYTE", (byte) => {
      if (!tx.push(byte)) STATUS.OVERRUN = true;
      else if (!shift.armed) shift.every(byteTime);
    });
    const shift = timer("shift", () => {
      line.write(tx.pop()!);
      if (tx.empty) shift.cancel();
    });

    derive("STATUS.RX_READY", () => !rx.empty);
    derive("STATUS.RX_LEVEL", () => rx.length);
    derive("STATUS.TX_FULL", () => tx.full);
    derive("STATUS.TX_EMPTY", () => tx.empty);
    derive("STATUS.TX_LEVEL", () => tx.length);
    irq.irq(
      () =>
        (CTRL.RX_IE && (rx.length >= Math.max(1, TRIGGER.RX) || STATUS.RX_IDLE)) ||
        (CTRL.TX_IE && tx.length <= TRIGGER.TX),
    );
  },
});
