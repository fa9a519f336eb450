/** QEMU 7.2 as an oracle: runs a RAM image on its virt board and gives back what the RAM holds at the end. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const EMULATOR = "qemu-system-riscv64";
export const hasQemu = / version 7\.2\./.test(spawnSync(EMULATOR, ["--version"], { encoding: "utf8" }).stdout ?? "");
/** For the titles of tests that need it. */
export const needsQemu = hasQemu ? "" : ` (skipped: ${EMULATOR} 7.2 is not installed)`;

/** The extensions of ours that QEMU 7.2 has. Hardware A/D updates are always on there. */
const CPU =
  "rv64,h=off,v=off,Zfh=on,zba=on,zbb=on,zbc=on,zbs=on,zbkb=on,zbkx=on,svinval=on,svnapot=on,svpbmt=on,sstc=on";

/**
 * Runs the program at the start of `image`, the board's RAM, until it stores 0x5555 to the test finisher.
 * The last 4 MiB of RAM belong to QEMU, which puts a device tree there.
 */
export function runOnQemu(image: Uint8Array, cpu = CPU): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "plantain-qemu-"));
  try {
    const ram = join(folder, "ram");
    writeFileSync(ram, image);
    const size = `${image.length >> 20}M`;
    const memory = ["-object", `memory-backend-file,id=ram,size=${size},mem-path=${ram},share=on`];
    const board = ["-M", "virt,memory-backend=ram", "-m", size, "-cpu", cpu, "-bios", "none"];
    const host = ["-display", "none", "-monitor", "none", "-serial", "none"];
    execFileSync(EMULATOR, [...memory, ...board, ...host], { timeout: 100_000, stdio: "pipe" });
    return new Uint8Array(readFileSync(ram));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
