// Whatever the guest does, and whoever reads its console or does not: who wants an end gets it, and no process is left.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { hasPython, runOnTerminal } from "./pty-for-tests.ts";

const PLANTAIN = fileURLToPath(new URL("../../bin/plantain", import.meta.url));

/** Says "!" and goes on. t0 is the UART, s0 free RAM. */
const HELLO = "li sp, 0x80400000; li s0, 0x80800000; li t0, 0x10000000; li t1, 33; sb t1, 0(t0);";
/** Something fast first, so that the machine expects much of its next turn. */
const FAST = "fast: li s1, 20000000; 1: addi s1, s1, -1; bnez s1, 1b;";

/** Guests that behave badly, each for ever. */
const loads: Readonly<Record<string, string>> = {
  "a loop": "j .",
  "a flood of output": "1: sb t1, 0(t0); j 1b",
  "a trap handler that traps": "la t0, 1f; csrw mtvec, t0; .align 2; 1: .word 0",
  "mret to itself": "la t0, 1f; csrw mepc, t0; li t1, 0x1800; .align 2; 1: csrs mstatus, t1; mret",
  "WFI with an interrupt that nobody takes":
    "li t0, 0x2000000; li t1, 1; sw t1, 0(t0); li t1, 8; csrw mie, t1; 1: wfi; j 1b",
  "a timer that is always due":
    "la t2, 2f; csrw mtvec, t2; li t3, 0x80; csrw mie, t3; li t4, 0x2004000; sd zero, 0(t4); csrsi mstatus, 8; 1: j 1b; .align 2; 2: mret",
  "a reset after the other": "li t0, 0x100000; li t1, 0x7777; sw t1, 0(t0); j .",
  "code that changes in every round":
    "la s3, 2f; lw s4, 0(s3); li s5, 0x100000; 1: add s4, s4, s5; sw s4, 0(s3); 2: addi s2, s2, 0; j 1b",
  "protection that changes all the time": `${FAST} li s1, 3000000; 2: csrw pmpaddr0, s1; addi s1, s1, -1; bnez s1, 2b; j fast`,
  "fences and misses": `${FAST} li s1, 3000000; 2: sfence.vma; ld a0, 0(sp); addi s1, s1, -1; bnez s1, 2b; j fast`,
  "device accesses": `${FAST} li s1, 3000000; 2: lb t2, 5(t0); addi s1, s1, -1; bnez s1, 2b; j fast`,
  "slow CSRs": `${FAST} li s1, 3000000; 2: csrr a0, mcycle; csrr a1, time; addi s1, s1, -1; bnez s1, 2b; j fast`,
  "code in thousands of pages": `mv t5, s0; li s2, 8000; li t3, 0x8082; li t4, 4096; 1: sh t3, 0(t5); add t5, t5, t4; addi s2, s2, -1; bnez s2, 1b;
    ${FAST} li s2, 8000; mv t5, s0; 2: jalr t5; add t5, t5, t4; addi s2, s2, -1; bnez s2, 2b; j fast`,
};

let folder: string;
const left = new Set<ChildProcess>();
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-obey-"));
});
afterEach(() => {
  for (const child of left) child.kill("SIGKILL");
  left.clear();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The options of a machine that runs a program. */
function options(program: string): string[] {
  const path = join(folder, "program.bin");
  writeFileSync(path, assemble(HELLO + program, { base: 0x8000_0000n }).bytes);
  return ["-bios", "none", "-kernel", path, "-nographic"];
}

function start(words: readonly string[], stdio: ("pipe" | "ignore")[] = ["pipe", "pipe", "pipe"]): ChildProcess {
  const child = spawn(PLANTAIN, words, { stdio });
  left.add(child);
  return child;
}

describe.each(Object.entries(loads))("%s", (_name, program) => {
  test("SIGTERM ends it", async () => {
    const child = start(options(program));
    await once(child.stdout!, "readable");
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([143, null]);
  });

  test.skipIf(!hasPython)("Ctrl-A x ends it (needs python3)", () => {
    const command = [PLANTAIN, ...options(program)];
    const result = runOnTerminal(command, [{ wait: "!" }, { mode: "raw" }, { send: "\x01x" }, { wait: "by the user" }]);
    expect(result).toMatchObject({ status: 0, restored: true });
  });
});

describe("a reader that takes nothing", () => {
  /** Starts a flood of output into a pipe that nobody reads, and waits until it must be full. */
  async function stuck(...more: string[]): Promise<ChildProcess> {
    const child = start([...options(loads["a flood of output"]!), ...more]);
    await once(child.stdout!, "readable");
    await sleep(200);
    return child;
  }

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("%s ends the machine", async (signal, status) => {
    const child = await stuck();
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([status, null]);
  });

  test("Ctrl-A x does", async () => {
    const child = await stuck();
    child.stdin!.write("\x01x");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("a reader of standard error, with a log that floods it", async () => {
    const child = start([...options(loads["a trap handler that traps"]!), "-d", "int"]);
    await once(child.stderr!, "readable");
    await sleep(200);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([143, null]);
  });

  test("nothing is lost for one who reads late, though the machine has ended", async () => {
    const program = `li s1, 300000; 1: andi a0, s1, 63; addi a0, a0, 48; sb a0, 0(t0); addi s1, s1, -1; bnez s1, 1b;
      li t0, 0x100000; li t1, 0x5555; sw t1, 0(t0); j .`;
    const child = start(options(program));
    await sleep(500);
    let output = "";
    child.stdout!.setEncoding("latin1").on("data", (text: string) => {
      output += text;
    });
    expect(await once(child, "close")).toEqual([0, null]);
    const line = Array.from({ length: 300_000 }, (_, n) => String.fromCharCode(48 + ((300_000 - n) & 63))).join("");
    expect(output === `!${line}`).toBe(true);
  });
});

describe("a console that nobody can reach any more", () => {
  test("input has ended and the reader has left: the machine ends", async () => {
    const child = start(options(loads["a loop"]!));
    await once(child.stdout!, "readable");
    child.stdin!.destroy();
    child.stdout!.destroy();
    expect(await once(child, "exit")).toEqual([129, null]);
  });

  test("by the shell's pipes too, once it says something more", async () => {
    // Node's own are sockets; a pipe shows that its reader has left when it is written to.
    const line = ["-c", ': | "$0" "$@" | head -c 1', PLANTAIN, ...options(loads["a flood of output"]!)];
    const child = spawn("sh", line, { stdio: ["ignore", "pipe", "pipe"] });
    left.add(child);
    expect(await once(child, "close")).toEqual([0, null]);
  });

  test("and without a word from it when whoever started it is gone too", async () => {
    // The reader has left, nothing is said any more, and the shell dies.
    const line = ["-c", '"$0" "$@" | head -c 1 & wait', PLANTAIN, ...options(loads["a loop"]!)];
    const child = spawn("sh", line, { stdio: ["ignore", "pipe", "pipe"] });
    left.add(child);
    await once(child.stdout!, "readable");
    child.kill("SIGKILL");
    // The machine holds standard error until it ends.
    expect(await once(child, "close")).toEqual([null, "SIGKILL"]);
  });

  test("a launcher that was killed takes it along", async () => {
    const line = ["-c", 'PLANTAIN_LAUNCHER=$$ "$0" "$@" & wait', PLANTAIN, ...options(loads["a loop"]!)];
    const child = spawn("sh", line, { stdio: ["ignore", "pipe", "pipe"] });
    left.add(child);
    await once(child.stdout!, "readable");
    child.kill("SIGKILL");
    // The machine holds both outputs until it ends.
    expect(await once(child, "close")).toEqual([null, "SIGKILL"]);
  });

  test("with input alone at its end it goes on, and with output alone gone", async () => {
    const echo = "1: lb t2, 5(t0); andi t2, t2, 1; beqz t2, 1b; lb t2, 0(t0); sb t2, 0(t0); j 1b";
    const first = start(options(loads["a flood of output"]!));
    first.stdin!.end();
    for (let n = 0; n < 40; n++) await once(first.stdout!, "data");
    first.kill();
    expect(await once(first, "exit")).toEqual([143, null]);
    const second = start(options(echo));
    await once(second.stdout!, "readable");
    second.stdout!.destroy();
    second.stdin!.write("abc");
    await sleep(700);
    second.stdin!.write("\x01x");
    expect(await once(second, "exit")).toEqual([0, null]);
  });
});
