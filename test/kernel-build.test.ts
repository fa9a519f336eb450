// A kernel module, built against the guest's kernel with what set-up obtains, loads into the guest.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { buildProgram } from "../src/node/guest/build-module.ts";
import { converse } from "./converse.ts";
import { describeWithKernelBuild } from "./guest.ts";

const MODULE = `#include <linux/module.h>
static int __init hello_init(void) { pr_info("a module says hello\\n"); return 0; }
static void __exit hello_exit(void) { }
module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
`;

describeWithKernelBuild("kernel modules", (guest, build) => {
  test("a module is built, and the guest's kernel takes it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plantain-kernel-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "hello.c"), MODULE);
    writeFileSync(join(folder, "Makefile"), "obj-m := hello.o\n");
    const { command, args, env } = build.make(folder);
    execFileSync(command, args, { env: { ...process.env, ...env }, stdio: "pipe" });

    // The module comes as a second disk, the first being in the highest slot.
    const drive = `file=${join(folder, "hello.ko")},format=raw,id=hd1,readonly=on`;
    const options = ["-drive", drive, "-device", "virtio-blk-device,drive=hd1"];
    const { output, status } = await converse(process.env, options, [
      [/login: $/, "root"],
      [/# $/, "cat /dev/vdb > /tmp/hello.ko; insmod /tmp/hello.ko && lsmod | grep hello"],
      [/# $/, "poweroff"],
    ]);
    expect(output).toContain("a module says hello");
    expect(output).toMatch(/^hello +\d+ +0/m);
    expect(output).toContain(guest.kernelRelease);
    expect(status).toBe(0);
  });

  test("a program that does not compile is one line that names the place", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plantain-kernel-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const source = join(folder, "wrong.c");
    writeFileSync(source, '#include "own.h"\nint _start(void) { return OWN; }\n');
    await expect(buildProgram(source)).rejects.toThrow(/^\S+wrong\.c:1:10: fatal error: own\.h: No such file[^\n]*$/);
    const program = await buildProgram(source, { headers: { "own.h": "#define OWN 7\n" } });
    expect(Buffer.from(program.subarray(0, 4)).toString("latin1")).toBe("\x7fELF");
    await expect(buildProgram(source, { headers: { "own.h": "#define OWN nothing()\n" } })).rejects.toThrow(
      /^own\.h:1:13: error: [^\n]*nothing[^\n]*$/,
    );
    writeFileSync(source, "int no_start(void); int start(void) { return no_start(); }\n");
    await expect(buildProgram(source)).rejects.toThrow(/^[^\n]*undefined reference to `no_start'$/);
  });
});
