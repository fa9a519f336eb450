// QEMU's virt board as the oracle: memory map and device tree. Every difference that is meant is listed here.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { decodeFdt } from "../fdt/decode.ts";
import type { FdtNode } from "../fdt/fdt-node.ts";
import { setUpBoard } from "./board-for-tests.ts";

const QEMU = "qemu-system-riscv64";
const hasQemu = spawnSync(QEMU, ["--version"], { encoding: "utf8" }).stdout?.includes("version 7.2") ?? false;
const hasDtc = spawnSync("dtc", ["--version"]).status === 0;

test.skipIf(!hasQemu)("the memory map is that of QEMU 7.2 (qemu-system-riscv64) but for PCIe and flash", () => {
  const args = ["-M", "virt", "-S", "-m", "16M", "-display", "none", "-serial", "null", "-monitor", "stdio"];
  const output = execFileSync(QEMU, args, { input: "info mtree -f\nquit\n", encoding: "utf8" });
  const theirs = [...output.matchAll(/^ {2}([0-9a-f]{16})-([0-9a-f]{16}) \([^)]*\): (.*?)\r?$/gm)]
    .map(([, start, end, name]) => [Number.parseInt(start!, 16), Number.parseInt(end!, 16), name] as const)
    .filter(([, , name]) => !/^(gpex|pcie|virt\.flash|io$)/.test(name!));
  const { memory } = setUpBoard({ properties: { "banana-rom": "off" } });
  const ours = memory.flatView.ranges.map(({ start, end, region }) => [start, end - 1, region.name]);
  expect(ours).toEqual(theirs);
});

describe("the device tree", () => {
  /** Nodes that QEMU has and the board does not, yet. */
  const missing = ["/flash@20000000", "/soc/pci@30000000", "/platform-bus@4000000", "/pmu"];
  /** Properties that only we have: newer than QEMU 7.2. */
  const added = new Set(["riscv,isa-base", "riscv,isa-extensions"]);
  /** Properties that differ, by what they have to be here. */
  const different: Record<string, string> = {
    // The hypervisor extension is not there.
    "riscv,isa": "rv64imafdc_zicsr_zifencei_zihintpause_zba_zbb_zbc_zbs_sstc\0",
    "rng-seed": "\x07".repeat(32),
  };

  test.skipIf(!hasQemu).each([1, 2, 8])("of %i harts is that of QEMU 7.2 (qemu-system-riscv64)", (hartCount) => {
    const theirs = flatten(decodeFdt(qemuTree(hartCount), "QEMU's").root);
    const { board } = setUpBoard({ hartCount });
    board.complete();
    const ours = flatten(decodeFdt(board.deviceTree, "ours").root);

    const wanted = [...theirs.keys()].filter((path) => !missing.includes(path));
    expect([...ours.keys()].sort()).toEqual(wanted.sort());
    for (const path of wanted) {
      const ownProperties = Object.entries(ours.get(path)!).filter(([name]) => !added.has(name));
      const expected = { ...theirs.get(path)! };
      for (const [name, value] of Object.entries(different)) if (name in expected) expected[name] = value;
      expect([path, Object.fromEntries(ownProperties)]).toEqual([path, expected]);
    }
    // Linux names disks and finds serial ports in this order.
    const order = (nodes: ReadonlyMap<string, unknown>) => [...nodes.keys()].filter((path) => path.startsWith("/soc/"));
    expect(order(ours)).toEqual(order(theirs).filter((path) => !missing.includes(path)));
  });

  test.skipIf(!hasQemu || !hasDtc)("has no dtc (device-tree-compiler) warning that QEMU's (7.2) has not", () => {
    const { board } = setUpBoard({ hartCount: 2 });
    board.complete();
    const known = warnings(qemuTree(2));
    expect(warnings(board.deviceTree).filter((warning) => !known.includes(warning))).toEqual([]);
  });
});

/** The kinds of warnings that dtc has for a tree, with the nodes they are about. */
function warnings(dtb: Uint8Array): string[] {
  const { stderr, status } = spawnSync("dtc", ["-I", "dtb", "-O", "dts", "-"], { input: dtb, encoding: "utf8" });
  expect(status).toBe(0);
  return [...stderr.matchAll(/Warning \(([a-z_]+)\): (\/[^ :]*)/g)].map(([, kind, path]) => `${kind} ${path}`);
}

function qemuTree(hartCount: number): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "plantain-virt-"));
  try {
    const file = join(folder, "dtb");
    const args = ["-M", `virt,dumpdtb=${file}`, "-smp", String(hartCount), "-m", "16M", "-display", "none"];
    execFileSync(QEMU, args, { stdio: "ignore" });
    return readFileSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** All nodes by path, with their properties as text, in which phandles are the paths of the nodes they name. */
function flatten(root: FdtNode): Map<string, Record<string, string>> {
  const nodes = new Map<string, FdtNode>();
  const visit = (path: string, node: FdtNode): void => {
    nodes.set(path || "/", node);
    for (const [name, child] of node.children) visit(`${path}/${name}`, child);
  };
  visit("", root);

  const pathByPhandle = new Map<number, string>();
  for (const [path, node] of nodes) {
    const phandle = node.properties.get("phandle");
    if (phandle) pathByPhandle.set(words(phandle)[0]!, path);
  }
  const target = (word: number | undefined) => pathByPhandle.get(word!) ?? `no node ${word}`;

  const text = (name: string, value: Uint8Array): string => {
    switch (name) {
      case "phandle":
        return "any";
      case "interrupt-parent":
      case "regmap":
      case "cpu":
        return target(words(value)[0]);
      case "interrupts-extended":
        return words(value)
          .map((word, i) => (i % 2 === 0 ? target(word) : word))
          .join(" ");
      default:
        return new TextDecoder("latin1").decode(value);
    }
  };
  const flat = new Map<string, Record<string, string>>();
  for (const [path, node] of nodes) {
    flat.set(path, Object.fromEntries([...node.properties].map(([name, value]) => [name, text(name, value)])));
  }
  return flat;
}

function words(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4));
}
