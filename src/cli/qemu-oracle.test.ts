// Asks QEMU which command lines it takes, and compares.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { configOf, words } from "./config-for-tests.ts";

const QEMU = "qemu-system-riscv64";
const hasQemu = (spawnSync(QEMU, ["--version"], { encoding: "utf8" }).stdout ?? "").includes("version 7.2");

describe.skipIf(!hasQemu)("QEMU 7.2 takes and refuses the same lines (needs qemu-system-riscv64)", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-cli-"));
    for (const name of ["a.img", "b.img", "a,b.img", "c=d.img"])
      writeFileSync(join(folder, name), new Uint8Array(4096));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    // Drives
    "-drive file=a.img,format=raw,id=hd0 -device virtio-blk-device,drive=hd0",
    "-drive file=a.img,format=raw,if=none,id=hd0 -device virtio-blk-device,drive=hd0",
    "-drive file=a.img,format=raw,if=virtio",
    "-drive file=a,,b.img,format=raw,id=x",
    "-drive file=c=d.img,format=raw,id=x",
    "-drive file=a.img,format=raw,index=1 -drive file=b.img,format=raw",
    "-drive file=a.img,format=raw,index=0 -drive file=b.img,format=raw,index=0",
    "-drive file=a.img,format=raw,id=a -drive file=b.img,format=raw,id=a",
    "-drive file=a.img,format=raw,id=hd0 -device virtio-blk-device,drive=hd0 -device virtio-blk-device,drive=hd0",
    "-drive file=a.img,format=raw,if=virtio,id=a -device virtio-blk-device,drive=a",
    "-drive file=a.img,format=raw,if=ide",
    "-drive file=a.img,format=raw,if=bogus",
    "-drive file=a.img,format=bogus",
    "-drive file=a.img,format=raw,bogus=1",
    "-drive file=a.img,format=raw,readonly=maybe",
    "-drive file=a.img,format=raw,readonly=yes",
    "-drive file=a.img,format=raw,readonly=y,snapshot=off,cache=writethrough,werror=enospc,rerror=report",
    "-drive file=a.img,format=raw,cache=bogus",
    "-drive file=a.img,format=raw,id=1a",
    "-drive file=a.img,format=raw,id=a.b-c_d",
    "-device virtio-blk-device,drive=nope",
    "-hda a.img",
    "-hda a.img -hda b.img",
    // Networks
    "-netdev user",
    "-netdev user,id=n -device virtio-net-device,netdev=n",
    "-netdev user,id=n -device virtio-net-device,netdev=n -device virtio-net-device,netdev=n",
    "-netdev user,id=n,net=192.168.7.0/24,dhcpstart=192.168.7.9,restrict=on,hostname=x",
    "-netdev user,id=n,dhcpstart=1.2.3.4",
    "-netdev user,id=n,restrict=maybe",
    "-netdev user,id=n,hostfwd=bogus",
    "-netdev user,id=n -netdev user,id=n",
    "-netdev bogus,id=n",
    "-device virtio-net-device,netdev=nope",
    "-device virtio-net-device",
    "-nic none",
    "-net none",
    // Devices and objects
    "-device bogus",
    "-device virtio-rng-device,id=a -device virtio-rng-device,id=a",
    "-device virtio-rng-device,bogus=1",
    "-device virtio-rng-device,bus=virtio-mmio-bus.2",
    "-object rng-random,id=r,filename=/dev/urandom",
    "-object rng-builtin,id=r",
    "-object rng-random",
    "-object bogus,id=r",
    "-global virtio-mmio.force-legacy=false",
    "-global driver=virtio-mmio,property=force-legacy,value=false",
    "-global bogus",
    // Harts and memory
    "-smp 1",
    "-smp 4,cores=2",
    "-smp 3,cores=2",
    "-smp 2,maxcpus=1",
    "-smp cores=2,sockets=2",
    "-smp 1,maxcpus=8,cores=2,sockets=2",
    "-smp 1,bogus=1",
    "-smp x",
    "-m 64",
    "-m 64M,slots=2,maxmem=128M",
    "-m size=0.25G",
    "-m 12Q",
    "-m -5",
    "-m 64,bogus=1",
    "-cpu rv64",
    "-cpu rv64,zba=false,Zfh=off",
    "-cpu rv64,zba=maybe",
    "-cpu bogus",
    "-M virt,bogus=1",
    // Character devices
    "-chardev null",
    "-chardev null,id=c -serial chardev:c",
    "-chardev null,id=c -chardev null,id=c",
    "-chardev stdio,id=a -chardev stdio,id=b",
    "-serial stdio -chardev stdio,id=a",
    "-chardev file,id=c",
    "-chardev file,id=c,path=out",
    "-chardev bogus,id=c",
    "-chardev socket,id=c",
    "-chardev socket,id=c,path=sock1,server=on,wait=off",
    "-serial unix:sock2,server,nowait",
    "-serial bogus",
    "-serial tcp:5555",
    "-serial chardev:nope",
    "-serial none -monitor none",
    "-serial null -parallel none",
    "-nographic",
    "-serial mon:stdio",
    // Running
    "-d guest_errors,unimp",
    "-d bogus",
    "-no-reboot -no-shutdown -name x -no-user-config",
    "-action reboot=shutdown,shutdown=pause",
    "-action reboot=bogus",
    "-rtc base=utc,clock=host",
    "-rtc base=2006-06-17T16:01:21",
    "-rtc base=bogus",
    "-append x",
    "-initrd a.img",
    "-bogus",
    "--nographic",
    "-append",
  ])("%s", (line) => {
    // `quit` ends QEMU before the guest's first instruction if the line was good. Where the line has a word about the
    // terminal, QEMU's monitor must be elsewhere.
    const socket = join(folder, "monitor");
    const monitor = ["-chardev", `pipe,id=monitor,path=${socket}`, "-mon", "chardev=monitor"];
    spawnSync("mkfifo", [`${socket}.in`, `${socket}.out`]);
    writeFileSync(join(folder, "commands"), "quit\n");
    const script = `exec 3<>monitor.in 4<>monitor.out; cat commands >&3; exec "$@" </dev/null 2>/dev/null`;
    const args = [
      "-c",
      script,
      "sh",
      QEMU,
      "-M",
      "virt",
      "-S",
      ...(line.includes("-nographic") ? [] : ["-display", "none"]),
    ];
    const { status } = spawnSync("sh", [...args, ...words(line), ...(line === "-append" ? [] : monitor)], {
      cwd: folder,
      timeout: 60_000,
    });
    let taken = true;
    try {
      configOf(words(line));
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      taken = false;
    }
    expect(taken ? "taken" : "refused").toBe(status === 0 ? "taken" : "refused");
  });
});
