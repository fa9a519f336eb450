// The article's device from its file, on the board of a Linux that boots: at the address that the board finds, and at one
// that the command line says.

import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { guestWords } from "../src/node/guest/guest-words.ts";
import { describeWithGuest } from "./guest.ts";
import { PLANTAIN, Session } from "./session.ts";

const FILE = fileURLToPath(new URL("../examples/banana-rom/banana-rom.ts", import.meta.url));
/** `$?` after a signal: 128 and SIGSEGV's or SIGBUS's number. */
const KILLED = [139, 135];

describeWithGuest("banana-rom from its file in Linux", (guest) => {
  let machine: Session;
  beforeAll(async () => {
    const devices = ["-device", FILE, "-device", `${FILE},addr=0x5000000,id=mine`];
    const words = ["-M", "virt,banana-rom=off", "-d", "guest_errors", ...devices, ...guestWords(guest)];
    machine = new Session(PLANTAIN, [...words, "-nographic"]);
    await machine.logIn();
  });
  afterAll(() => machine.kill());

  /** What a command says, without what the kernel says in between. */
  const run = async (command: string): Promise<string> =>
    (await machine.run(command)).output.replaceAll(/^\[ *\d+\.\d+\] .*\n/gm, "");

  // The first free page of the board's window, which the board's own ROM would have.
  test.each(["4000000", "5000000"])("at 0x%s: its node is in /proc/device-tree", async (address) => {
    const node = `/proc/device-tree/soc/banana-rom@${address}`;
    expect(await run(`cat ${node}/compatible | tr '\\0' '\\n'`)).toBe("acme,banana-rom\n");
    const reg = `00000000${address.padStart(8, "0")}0000000000000100`;
    expect(await run(`hexdump -v -e '1/1 "%02x"' ${node}/reg; echo`)).toBe(`${reg}\n`);
    expect(await run(`ls ${node}`)).not.toContain("interrupts");
    expect(await run(`cat /sys/bus/platform/devices/${address}.banana-rom/of_node/name | tr '\\0' '\\n'`)).toBe(
      "banana-rom\n",
    );
  });

  test.each([
    ["", "0xBA000001"],
    [" 64", "0xDEADBEEFBA000001"],
    [" 16", "0x0001"],
    [" 8", "0x01"],
  ])("devmem ADDRESS%s: %s", async (width, value) => {
    for (const address of ["0x4000000", "0x5000000"]) expect(await run(`devmem ${address}${width}`)).toBe(`${value}\n`);
  });

  test("what lies beside CHIP_ID", async () => {
    expect(await run("devmem 0x5000004; devmem 0x50000fc; devmem 0x50000f8 64; devmem 0x5000001 8")).toBe(
      "0xDEADBEEF\n0xDEADBEEF\n0xDEADBEEFDEADBEEF\n0xEF\n",
    );
  });

  test("a write is ignored, and said on standard error with the device's name", async () => {
    expect(await run("devmem 0x5000000 32 1; devmem 0x5000000")).toBe("0xBA000001\n");
    // Another pipe than the console's, which may be later.
    await expect
      .poll(() => machine.errors, { timeout: 60_000 })
      .toMatch(/^banana-rom: write of 0x1 \(4 bytes\) at 0x0: no register is there \(hart 0, pc 0x[0-9a-f]+\)$/m);
  });

  test.each(["0x4000100", "0x5000100", "0x4fffffc"])(
    "at %s is nothing: an access fault ends devmem, not Linux",
    async (address) => {
      expect(KILLED).toContain((await machine.run(`devmem ${address}`)).status);
      expect(await run("devmem 0x5000000")).toBe("0xBA000001\n");
    },
  );

  test("the machine powers off", async () => {
    machine.type("poweroff\r");
    expect((await machine.end()).status).toBe(0);
  });
});
