// The names of a 16550A's registers and their fields, for traces. National Semiconductor PC16550D data sheet, table II.

import { ro, rw, w1s, wo } from "../../device/model/fields.ts";
import { reg8 } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";

const INTERRUPTS = { MODEM_STATUS: 0, NONE: 1, THR_EMPTY: 2, RECEIVED: 4, LINE_STATUS: 6, TIMEOUT: 12 };

/**
 * @param shift distance between registers: 2 to the power of it, in bytes
 * @param divisorAccess whether LCR gives access to the divisor now
 */
export function serialRegisters(
  type: string,
  irqs: readonly string[],
  shift: number,
  divisorAccess: () => boolean,
): RegisterNames {
  const at = (register: number): number => register << shift;
  const shared = {
    LCR: reg8(at(3), {
      fields: {
        WLS: rw([1, 0]),
        STB: rw(2),
        PEN: rw(3),
        EPS: rw(4),
        STICK: rw(5),
        BREAK: rw(6),
        DLAB: rw(7),
      },
    }),
    MCR: reg8(at(4), { fields: { DTR: rw(0), RTS: rw(1), OUT1: rw(2), OUT2: rw(3), LOOP: rw(4) } }),
    LSR: reg8(at(5), {
      fields: { DR: ro(0), OE: ro(1), PE: ro(2), FE: ro(3), BI: ro(4), THRE: ro(5), TEMT: ro(6), FIFO_ERROR: ro(7) },
    }),
    MSR: reg8(at(6), {
      fields: { DCTS: ro(0), DDSR: ro(1), TERI: ro(2), DDCD: ro(3), CTS: ro(4), DSR: ro(5), RI: ro(6), DCD: ro(7) },
    }),
    SCR: reg8(at(7)),
  };
  const IER = reg8(at(1), { fields: { RECEIVED: rw(0), THR_EMPTY: rw(1), LINE_STATUS: rw(2), MODEM_STATUS: rw(3) } });
  const IIR = reg8(at(2), { reset: 1, fields: { INTERRUPT: ro([3, 0], INTERRUPTS), FIFOS: ro([7, 6]) } });
  const FCR = reg8(at(2), {
    fields: { ENABLE: wo(0), CLEAR_RX: w1s(1), CLEAR_TX: w1s(2), DMA: wo(3), TRIGGER: wo([7, 6]) },
  });
  const divisor = { DLL: reg8(at(0)), DLM: reg8(at(1)) };
  return registerNames(
    { type, irqs, size: at(8) },
    [
      { RBR: reg8(at(0), { access: "ro" }), IER, IIR, ...shared },
      { THR: reg8(at(0), { access: "wo" }), IER, FCR, ...shared },
      { ...divisor, IIR, ...shared },
      { ...divisor, FCR, ...shared },
    ],
    (write) => (divisorAccess() ? 2 : 0) + (write ? 1 : 0),
  );
}
