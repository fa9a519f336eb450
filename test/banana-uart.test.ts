// The program of examples/banana-uart on the machine: text both ways by interrupts, levels, flow control, overruns. Time goes
// by instructions, so that every count is what it must be; the command itself comes last, with its sockets and pipes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { bananaUart } from "../examples/banana-uart/banana-uart.ts";
import { MemoryChardev } from "../src/backend/chardev-memory.ts";
import type { ShutdownReason } from "../src/device/device.ts";
import { assemble } from "../src/isa/assembler.ts";
import type { Machine } from "../src/machine/machine.ts";
import { bareMachine } from "../src/machine/machine-for-tests.ts";
import { gnuAssemble, hasBinutils } from "./isa/binutils.ts";
import { PLANTAIN, Session } from "./session.ts";

const SOURCE = fileURLToPath(new URL("../examples/banana-uart/shout.s", import.meta.url));
const DEVICE = fileURLToPath(new URL("../examples/banana-uart/banana-uart.ts", import.meta.url));
const RAM = 0x8000_0000n;
const program = assemble(readFileSync(SOURCE, "utf8"), { base: RAM, file: SOURCE });
const symbol = (name: string): number => Number(program.symbols.get(name)!);

const MS = 1e6;
const FIFO = 16;
const BANNER = /^The banana UART shouts back\. .*\r\n$/;

/** Interrupts for sending so many bytes that wait together: the FIFO is filled, and filled up whenever 4 are left. */
const sendInterrupts = (bytes: number): number => 1 + Math.ceil(Math.max(0, bytes - FIFO) / (FIFO - 4));

const GNU = `the GNU assembler makes the same of it${hasBinutils ? "" : " (no riscv64-linux-gnu-as)"}`;
test.skipIf(!hasBinutils)(GNU, () => {
  const source = `.option norvc\n${readFileSync(SOURCE, "utf8")}`;
  expect(gnuAssemble(source, RAM).bytes).toEqual(program.bytes);
});

describe.each(["interp", "jit"] as const)("the program, %s", (accel) => {
  let machine: Machine;
  let line: MemoryChardev;
  let output: string;
  let ended: ShutdownReason | undefined;

  const uart = () => machine.add(bananaUart, { addr: 0x500_0000, irq: 40, properties: { chardev: line } });
  const run = async (ns: number): Promise<void> => {
    machine.events.timer("the test looks", () => machine.stop()).after(ns);
    ended = await machine.run();
  };
  const send = (text: string): void => line.send(Buffer.from(text, "latin1"));
  /** Lets time pass and returns what came. */
  const hear = async (ns: number): Promise<string> => {
    output = "";
    await run(ns);
    return output;
  };
  const counter = (name: string): number => {
    const bytes = new Uint8Array(4);
    machine.memory.readBytes(symbol("data") + symbol(name), bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  };
  const NAMES = ["interrupts", "rx_interrupts", "tx_interrupts", "received", "sent", "lost", "overruns"] as const;
  const counters = () => Object.fromEntries(NAMES.map((name) => [name, counter(name)]));

  beforeEach(() => {
    machine = bareMachine({ accel });
    line = new MemoryChardev("line");
    line.onOutput = (bytes) => {
      output += Buffer.from(bytes).toString("latin1");
    };
    output = "";
    machine.memory.writeBytes(RAM, program.bytes);
  });
  afterEach(() => machine.close());

  test("greets, by interrupts when the FIFO is nearly empty", async () => {
    uart();
    await run(20 * MS);
    expect(output).toMatch(BANNER);
    const sent = output.length;
    const tx = sendInterrupts(sent);
    expect(counters()).toEqual({
      interrupts: tx,
      rx_interrupts: 0,
      tx_interrupts: tx,
      received: 0,
      sent,
      lost: 0,
      overruns: 0,
    });
  });

  test.each([1, 7, 8, 16, 17, 100])(
    "types %i bytes back in capitals, with an interrupt for each FIFO of them",
    async (count) => {
      uart();
      await run(20 * MS);
      const before = counters();
      const text = "Banana 1 ".repeat(12).slice(0, count);
      send(text);
      expect(await hear(20 * MS)).toBe(text.toUpperCase());
      const after = counters();
      expect(after["received"]).toBe(count);
      expect(after["rx_interrupts"]).toBe(Math.ceil(count / FIFO));
      expect(after["sent"]! - before["sent"]!).toBe(count);
      expect(after["tx_interrupts"]! - before["tx_interrupts"]!).toBe(sendInterrupts(count));
    },
  );

  test("few bytes wait for others, for as long as four take", async () => {
    const device = uart();
    await run(20 * MS);
    const times: number[] = [];
    device.observe({ irq: ({ level, time }) => level && times.push(time) });
    const byteTime = 1e10 / 115_200;
    const start = machine.now;
    send("1234567");
    await run(20 * MS);
    expect(times[0]! - start).toBeCloseTo(4 * byteTime, -2);
    const again = machine.now;
    times.length = 0;
    send("12345678");
    await run(20 * MS);
    expect(times[0]! - again).toBe(0);
  });

  test("a host that is faster than the line waits; nothing is lost", async () => {
    const device = uart();
    await run(20 * MS);
    let throttled = 0;
    let reads = 0;
    device.observe({
      access({ write, registers }) {
        const [register] = registers;
        if (register?.name === "RX") reads++;
        if (write && register?.name === "CTRL" && register.old !== register.new && !(Number(register.new) & 1))
          throttled++;
      },
    });
    const text = Array.from({ length: 10_000 }, (_, n) => String.fromCharCode(97 + (n % 26))).join("");
    send(text);
    expect(await hear(1000 * MS)).toBe(text.toUpperCase());
    expect(throttled).toBeGreaterThan(10);
    expect(reads).toBe(text.length);
    expect(counters()).toMatchObject({ received: text.length, lost: 0, overruns: 0 });
  });

  test("a host that is slow stops it with XOFF; what it has to say comes after XON", async () => {
    uart();
    await run(20 * MS);
    const text = "the quick brown fox jumps over the lazy dog. ".repeat(3);
    send(text);
    const first = await hear(3 * MS);
    send("\x13");
    const rest = await hear(50 * MS);
    // What is in the FIFO still goes.
    expect(rest.length).toBeLessThanOrEqual(FIFO);
    expect(first.length).toBeGreaterThan(0);
    expect(await hear(50 * MS)).toBe("");
    send("more ");
    expect(await hear(50 * MS)).toBe("");
    send("\x11");
    expect(first + rest + (await hear(50 * MS))).toBe(`${text}more `.toUpperCase());
    expect(counters()).toMatchObject({ received: text.length + 5, lost: 0 });
  });

  test("a host that stops it and goes on talking is heard when it lets it go on", async () => {
    uart();
    await run(20 * MS);
    const text = "0123456789".repeat(100);
    send(`\x13${text}\x11`);
    const heard = await hear(200 * MS);
    // One ring: as long as more comes, the handler has no time for the main program.
    const kept = 256;
    expect(heard).toBe(text.slice(0, kept));
    expect(counters()).toMatchObject({ received: kept, lost: text.length - kept });
  });

  test("writing faster than the line overruns, which the device says once", async () => {
    const device = uart();
    const guestErrors: string[] = [];
    device.observe({ guestError: ({ message }) => guestErrors.push(message) });
    await run(20 * MS);
    send("burst\r");
    expect(await hear(20 * MS)).toBe(`BURST\r\n${"!".repeat(FIFO)}\r\noverrun\r\n`);
    expect(counters()).toMatchObject({ overruns: 1 });
    expect(device.registers.STATUS.OVERRUN).toBe(false);
    expect(guestErrors).toEqual([]);
    send("burst\rburst\r");
    await run(30 * MS);
    expect(counters()).toMatchObject({ overruns: 3 });
  });

  test("counts what happened", async () => {
    uart();
    await run(20 * MS);
    send("hello\rcount\r");
    // When it writes the sentence it has sent all that was before it but what still waits for the FIFO.
    const text = await hear(30 * MS);
    const match =
      /^HELLO\r\nCOUNT\r\n(\d+) interrupts: 1 with bytes received, (\d+) with bytes sent; 12 bytes in, (\d+) out; 0 lost; 0 overruns\r\n$/.exec(
        text,
      );
    expect(match, text).not.toBeNull();
    const [interrupts, tx, sent] = match!.slice(1).map(Number);
    expect(interrupts).toBe(1 + tx!);
    expect(counter("sent") - sent!).toBeLessThan(text.length);
    expect(counter("received")).toBe(12);
  });

  test("a line that is no command is none", async () => {
    uart();
    await run(20 * MS);
    const lines = ["quit it", "qui", "Quit", "counting to more than sixteen", "burst!"];
    send(lines.map((text) => `${text}\n`).join(""));
    expect(await hear(50 * MS)).toBe(lines.map((text) => `${text.toUpperCase()}\r\n`).join(""));
    expect(ended).toBeUndefined();
  });

  test("quit sends what it has and ends the machine", async () => {
    uart();
    await run(20 * MS);
    send("quit\r");
    expect(await hear(100 * MS)).toBe("QUIT\r\nbye\r\n");
    expect(ended).toEqual({ kind: "poweroff", status: 0 });
  });

  test("a copy of the machine in the middle of everything goes on as it would have", async () => {
    uart();
    await run(20 * MS);
    send("half of this has been sent when the snapshot is taken");
    await run(2 * MS);
    const state = machine.save();
    const rest = await hear(20 * MS);
    expect(rest.length).toBeGreaterThan(20);
    machine.load(state);
    expect(await hear(20 * MS)).toBe(rest);
  });
});

describe("the command", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-uart-"));
    writeFileSync(join(folder, "shout.bin"), program.bytes);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const start = (chardev: string): Session => {
    const device = `${DEVICE},chardev=line,addr=0x5000000,irq=40`;
    const args = ["-M", "virt", "-bios", "none", "-kernel", join(folder, "shout.bin"), "-serial", "none"];
    const session = new Session(PLANTAIN, [...args, "-chardev", chardev, "-device", device]);
    onTestFinished(() => session.kill());
    return session;
  };

  test("talks on standard input and output", async () => {
    const session = start("stdio,id=line");
    await session.until(/go on\.\r\n$/);
    session.type("a plantain is a banana too\r");
    await session.until(/A PLANTAIN IS A BANANA TOO\r\n$/);
    session.type("quit\r");
    await session.until(/bye\r\n$/);
    expect(await session.end()).toEqual({ status: 0, errors: "" });
  });

  test("talks on a socket, with a peer that sends much at once and stops it", async () => {
    const path = join(folder, "line");
    const session = start(`socket,id=line,path=${path},server=on,wait=on`);
    while (!session.errors.includes("waiting")) await new Promise((resolve) => setTimeout(resolve, 5));
    const peer = connect(path);
    onTestFinished(() => void peer.destroy());
    let heard = "";
    let hear = () => {};
    peer.setEncoding("latin1").on("data", (piece) => {
      heard += piece;
      hear();
    });
    const until = async (text: string): Promise<void> => {
      while (!heard.endsWith(text)) {
        await new Promise<void>((resolve) => {
          hear = resolve;
        });
      }
    };
    await until("go on.\r\n");
    const text = "yes, we have no bananas. ".repeat(40);
    peer.write(`${text}\r`);
    await until(`${text.toUpperCase()}\r\n`);
    peer.write("\x13not yet\x11\r");
    await until("NOT YET\r\n");
    peer.write("quit\r");
    await until("QUIT\r\nbye\r\n");
    expect((await session.end()).status).toBe(0);
  });
});
