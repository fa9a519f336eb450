// Physical memory protection (privileged specification 3.7).

import { describe, expect, test } from "vitest";
import { FINISH, TestMachine } from "./machine-for-tests.ts";

describe("entries that are off", () => {
  test("match nothing, also at address 0", () => {
    const machine = new TestMachine();
    machine.io(
      "at zero",
      0,
      0x1000,
      () => 0x1234,
      () => {},
    );
    machine.load(`li t0, -1; csrw pmpaddr15, t0; li t0, 0x1f << 56; csrw pmpcfg2, t0; lw a0, 0(zero); ${FINISH}`).run();
    expect(machine.hart.x(10)).toBe(0x1234n);
  });
});
