// Traces of devices while Linux runs: the board's own and one of the user's, with the kernel's symbols.

import { afterAll, beforeAll, expect, test } from "vitest";
import { bananaDma } from "../examples/banana-dma/banana-dma.ts";
import { boot } from "../src/node/boot.ts";
import type { Vm } from "../src/testing/vm.ts";
import { describeWithGuest } from "./guest.ts";
import "../src/testing/matchers.ts";

describeWithGuest("a trace of a booted Linux", (guest) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await boot({ images: guest, devices: [{ device: bananaDma, addr: 0x500_0000, irq: 40 }] });
  });
  afterAll(() => vm?.dispose());

  test("a device of the user's: what was done to it while something ran, of one fork only", async () => {
    await using machine = await vm.fork();
    await using other = await vm.fork();
    const trace = await machine.trace(bananaDma, async () => {
      await machine.console.run("devmem 0x5000010 64 0x8f000000; devmem 0x5000018 32 16; devmem 0x5000000 32 7");
      await other.console.run("devmem 0x5000018 32 99");
    });
    await machine.console.run("devmem 0x5000000");
    expect(trace).toHaveAccessed(
      [
        { write: "DST", value: 0x8f00_0000n },
        { write: "LEN", value: 16 },
        { write: "CTRL", value: { START: true, IRQ_EN: true, MODE: "FILL" } },
      ],
      { exactly: true },
    );
    expect(trace).toHaveRaisedIrq("done", { times: 1 });
    expect(trace).not.toHaveAcknowledgedIrqs();
    expect(trace).not.toHaveTouched("STATUS");
    expect(trace).not.toHaveMisuse();
    expect(trace.filter({ kind: "dma" }).records).toHaveLength(1);
    // @ts-expect-error no such register
    expect(() => expect(trace).toHaveTouched("STATSU")).toThrow('no register or field "STATSU"');
  });

  test("the board's own: by their names, with the functions of the kernel's Image; it ends with its machine", async () => {
    const machine = await vm.fork();
    const trace = machine.trace(["uart0", "plic"]);
    await machine.console.run("echo on");
    expect(trace.of("uart0")).toHaveAccessed([{ read: "RBR", value: 0x0a }, { write: "THR" }]);
    expect(trace.of("uart0")).not.toHaveTouched("SCR");
    expect(trace.of("plic")).toHaveAccessed([
      { read: "CONTEXT[1].CLAIM", value: 10 },
      { write: "CONTEXT[*].CLAIM", value: 10 },
    ]);
    expect(trace.filter({ symbol: "plic_handle_irq" }).records.length).toBeGreaterThan(0);
    expect(String(trace)).toMatch(/^\d+\.\d{9} uart0: write THR = 0x6f .*\[hart 0 \w+\+0x[0-9a-f]+\]$/m);
    await machine.dispose();
    const count = trace.records.length;
    await using next = await vm.fork();
    await next.console.run("true");
    expect(trace.records.length).toBe(count);
    expect(() => machine.trace("plic")).toThrow(/disposed of/);
  });

  test("functions of a module, for what was recorded before as well", async () => {
    await using machine = await vm.fork();
    await machine.moduleSymbols("virtio-mmio.ko");
    await expect(machine.moduleSymbols("no-such-module")).rejects.toThrow(
      /no function of no_such_module: it is not loaded/,
    );
    await expect(machine.moduleSymbols("; reboot")).rejects.toThrow(/is no name of a module/);
    await using copy = await machine.fork();
    const trace = copy.trace("virtio-mmio");
    await copy.console.run("echo 3 > /proc/sys/vm/drop_caches; cat /bin/busybox > /dev/null; ls -R / > /dev/null");
    trace.stop();
    expect(trace.records.length).toBeGreaterThan(0);
    expect(String(trace)).toMatch(/ write QueueNotify = .*\[hart 0 vm_notify\w*\+0x[0-9a-f]+ \[virtio_mmio\]\]$/m);
    expect(trace.filter({ symbol: /^vm_interrupt$/ }).records.length).toBeGreaterThan(0);
  });

  test("a name that is none", () => {
    expect(() => vm.trace("banana-dna")).toThrow('there is no device "banana-dna" (did you mean "banana-dma"?)');
    expect(() => vm.trace("virtio-blk-device")).toThrow(/has no registers of its own/);
  });
});
