// The TLB and the page walk, tested on a machine with programs of its own.

import { describe, expect, test } from "vitest";
import { FINISH, TestMachine } from "./machine-for-tests.ts";

describe("accesses beside pages that the TLB does not hold", () => {
  // The invalid entries at the ends of the TLB's tables once matched the second page of such an access.
  test.each(["-1", "-3", "-7", "0xffd", "0x1ffd"])(
    "a load at %s, where nothing is, traps at its own address",
    (address) => {
      const machine = new TestMachine().load(`
      la t0, handler; csrw mtvec, t0
      li a0, ${address}
      ld a1, 0(a0)
      j .
      .align 2
handler: csrr a2, mcause; csrr a3, mtval; csrr a4, mepc
      ${FINISH}`);
      machine.run();
      expect(machine.hart.x(12)).toBe(5n);
      expect(machine.hart.x(13)).toBe(BigInt.asUintN(64, BigInt(address)));
    },
  );
});
