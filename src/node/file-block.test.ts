import { execFileSync } from "node:child_process";
import fs, {
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { BlockError } from "../backend/block.ts";
import { Drive } from "../backend/block-drive.ts";
import { OverlayBlock } from "../backend/block-overlay.ts";
import { RawBlock } from "../backend/block-raw.ts";
import { VirtioBlk, virtioBlkType } from "../hw/block/virtio-blk.ts";
import { TestDriver, VirtioBoard } from "../hw/virtio/driver-for-tests.ts";
import { UserError } from "../util/user-error.ts";
import { FileStore, openFileBlock } from "./file-block.ts";

/** Every system with files of this kind has the program. */
const MKFIFO = "mkfifo";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-file-block-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function image(content: Uint8Array | string, name = "disk.img"): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    // The descriptor of the listing itself is gone by now.
    return undefined;
  }
}

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("a disk in a file", () => {
  it("reads and writes it, in one buffer or several", () => {
    const path = image(Uint8Array.from({ length: 4096 }, (_, i) => i >> 4));
    const disk = openFileBlock(path, { readOnly: false });
    expect([disk.size, disk.readOnly, disk.synchronous]).toEqual([4096, false, true]);
    const [a, b] = [new Uint8Array(2), new Uint8Array(3)];
    disk.readv(0x1fe, [a, b]);
    expect([...a, ...b]).toEqual([31, 31, 32, 32, 32]);
    disk.write(16, Uint8Array.of(9, 8));
    disk.writev(18, [Uint8Array.of(7), Uint8Array.of(6, 5)]);
    disk.flush();
    disk.close();
    disk.close();
    expect([...readFileSync(path).subarray(15, 24)]).toEqual([0, 9, 8, 7, 6, 5, 1, 1, 1]);
  });

  it("syncs the file when it is flushed, and only then", () => {
    const disk = openFileBlock(image("x".repeat(512)), { readOnly: false });
    const synced: number[] = [];
    const { fdatasyncSync } = fs;
    fs.fdatasyncSync = (fd) => {
      synced.push(fd);
      fdatasyncSync(fd);
    };
    syncBuiltinESMExports();
    try {
      disk.write(0, Uint8Array.of(1));
      expect(synced).toEqual([]);
      disk.flush();
      expect(synced).toHaveLength(1);
    } finally {
      fs.fdatasyncSync = fdatasyncSync;
      syncBuiltinESMExports();
    }
    disk.close();
  });

  it("takes guest memory, shared memory too", () => {
    const memory = new Uint8Array(new SharedArrayBuffer(1024));
    const disk = openFileBlock(image("x".repeat(1024)), { readOnly: false });
    disk.readv(0, [memory.subarray(100, 200), memory.subarray(300, 400)]);
    expect([memory[99], memory[100], memory[199], memory[200], memory[300]]).toEqual([0, 120, 120, 0, 120]);
    disk.writev(512, [memory.subarray(90, 110), memory.subarray(390, 410)]);
    const bytes = new Uint8Array(2);
    disk.read(521, bytes);
    expect([...bytes]).toEqual([0, 120]);
    disk.close();
  });

  it("has whole sectors, whatever the length of the file", () => {
    const path = image("x".repeat(1000));
    const disk = openFileBlock(path, { readOnly: false });
    expect(disk.size).toBe(1024);
    const bytes = new Uint8Array(512).fill(1);
    disk.read(512, bytes);
    expect([...bytes.subarray(486)]).toEqual([120, 120, ...new Uint8Array(24)]);
    expect(statSync(path).size).toBe(1000);
    disk.write(512, bytes);
    expect(statSync(path).size).toBe(1024);
    disk.close();
  });

  it("reads zeros where somebody has cut the file off", () => {
    const path = image("x".repeat(1024));
    const disk = openFileBlock(path, { readOnly: false });
    truncateSync(path, 100);
    const bytes = new Uint8Array(200).fill(1);
    disk.read(0, bytes);
    expect([bytes[99], bytes[100], bytes[199]]).toEqual([120, 0, 0]);
    disk.close();
  });

  it.skipIf(!existsSync("/proc/self/fdinfo"))(
    "can be opened to write through the cache of the host (needs /proc)",
    () => {
      const path = image("x".repeat(512));
      const flagsOf = (writeThrough: boolean): number => {
        const disk = openFileBlock(path, { readOnly: false, writeThrough });
        const fd = readdirSync("/proc/self/fd").find((name) => linkTarget(`/proc/self/fd/${name}`) === path);
        const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
        disk.close();
        return Number.parseInt(flags![1]!, 8);
      };
      expect(flagsOf(true) & constants.O_DSYNC).toBe(constants.O_DSYNC);
      expect(flagsOf(false) & constants.O_DSYNC).toBe(0);
    },
  );

  it("is not written through an overlay, and need not be writable for one", () => {
    const path = image("x".repeat(1024));
    const disk = new OverlayBlock(openFileBlock(path, { readOnly: true }));
    disk.write(0, Uint8Array.of(1));
    disk.close();
    expect(readFileSync(path, "utf8")).toBe("x".repeat(1024));
  });

  it("fails with the host's reason", () => {
    const full = new RawBlock(new FileStore(openSync("/dev/full", constants.O_RDWR), "/dev/full", 4096, false));
    const error = thrownBy(() => full.write(0, new Uint8Array(512)));
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({
      code: "nospace",
      message: expect.stringMatching(/^\/dev\/full: cannot write: ENOSPC/),
    });
    expect(thrownBy(() => full.writev(0, [new Uint8Array(1), new Uint8Array(1)]))).toMatchObject({ code: "nospace" });
    full.close();
    expect(thrownBy(() => full.write(0, new Uint8Array(1)))).toMatchObject({ code: "io" });

    const path = image("x".repeat(512));
    const readOnly = new RawBlock(new FileStore(openSync(path, "r"), path, 512, false));
    expect(thrownBy(() => readOnly.write(0, new Uint8Array(1)))).toMatchObject({ code: "readonly" });
    const directory = new RawBlock(new FileStore(openSync(folder, "r"), folder, 512, true));
    expect(thrownBy(() => directory.read(0, new Uint8Array(1)))).toMatchObject({ code: "io" });
    readOnly.close();
    directory.close();
  });

  it("gives a guest an I/O error when the host's disk is full", () => {
    const board = new VirtioBoard(true);
    const device = new VirtioBlk(virtioBlkType);
    const store = new FileStore(openSync("/dev/full", constants.O_RDWR), "/dev/full", 4096, false);
    const drive = new Drive("hd0", new RawBlock(store));
    device.set("drive", drive);
    board.plug(device);
    const driver = new TestDriver(board, true);
    driver.negotiate();
    const queue = driver.queue(0, 16);
    driver.start();
    const header = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(queue.request([header, new Uint8Array(512), 1]).buffers[0]).toEqual(Uint8Array.of(1));
    expect(board.log).toEqual([
      expect.stringMatching(/the guest gets an I\/O error: \/dev\/full: cannot write: ENOSPC/),
    ]);
    drive.close();
  });
});

describe("a file that is no disk is a user's mistake", () => {
  function messageFor(path: string, readOnly = false): string {
    const error = thrownBy(() => openFileBlock(path, { readOnly }));
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message.replaceAll(folder, "FOLDER");
  }

  it("missing", () => {
    expect(messageFor(join(folder, "none.img"))).toBe("disk image FOLDER/none.img: there is no such file");
  });

  it("below a file", () => {
    image("x");
    expect(messageFor(join(folder, "disk.img/disk"))).toBe("disk image FOLDER/disk.img/disk cannot be opened: ENOTDIR");
  });

  it("a directory", () => {
    const message = "disk image FOLDER is a directory: expected a file";
    expect([messageFor(folder), messageFor(folder, true)]).toEqual([message, message]);
  });

  it("empty", () => {
    expect(messageFor(image(""))).toBe(
      "disk image FOLDER/disk.img is empty: expected at least one byte (make one with truncate -s 64M)",
    );
  });

  it("a device", () => {
    expect(messageFor("/dev/zero")).toBe("disk image /dev/zero is no regular file: expected a raw image");
  });

  it("a pipe that nobody writes to", () => {
    const path = join(folder, "pipe");
    execFileSync(MKFIFO, [path]);
    expect(messageFor(path, true)).toBe("disk image FOLDER/pipe is no regular file: expected a raw image");
  });

  it("running, and so not to be written", () => {
    // Not even root may write a program that is running.
    expect(messageFor(process.execPath)).toMatch(
      /cannot be opened for writing \(E\w+\): make it writable, or say readonly=on or snapshot=on$/,
    );
    openFileBlock(process.execPath, { readOnly: true }).close();
  });

  test("without the permission to read or write it", () => {
    const path = image("x".repeat(512));
    execFileSync("chmod", ["a-rw", path]);
    execFileSync("chmod", ["a+x", folder]);
    // Root may do everything, so for a moment the test is somebody else.
    const wasRoot = process.geteuid!() === 0;
    if (wasRoot) process.seteuid!(65534);
    try {
      expect(messageFor(path)).toBe(
        "disk image FOLDER/disk.img cannot be opened for writing (EACCES): make it writable, or say readonly=on or snapshot=on",
      );
      expect(messageFor(path, true)).toBe("disk image FOLDER/disk.img cannot be read: permission denied");
    } finally {
      if (wasRoot) process.seteuid!(0);
    }
  });
});
