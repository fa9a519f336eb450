// The device tree compiler as the oracle, both ways.

import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { decodeFdt } from "./decode.ts";
import { encodeFdt } from "./encode.ts";
import { cells, cells64, FdtNode } from "./fdt-node.ts";

const hasDtc = spawnSync("dtc", ["--version"]).status === 0;

const SOURCE = `/dts-v1/;

/memreserve/	0x0000000080000000 0x0000000000040000;
/ {
	#address-cells = <0x02>;
	#size-cells = <0x02>;
	compatible = "acme,board", "acme,generic";

	memory@80000000 {
		device_type = "memory";
		reg = <0x00 0x80000000 0x00 0x8000000>;
	};

	soc {
		ranges;

		plic: plic@c000000 {
			phandle = <0x01>;
			interrupt-controller;
			bytes = [01 02 03];
		};
	};
};
`;

test.skipIf(!hasDtc)("dtc (device-tree-compiler) reads what we write", () => {
  const root = new FdtNode("").prop("#address-cells", 2).prop("#size-cells", 2);
  root.prop("compatible", ["acme,board", "acme,generic"]);
  root.child("memory@80000000").prop("device_type", "memory").prop("reg", cells64(0x8000_0000, 0x800_0000));
  const soc = root.child("soc").prop("ranges", true);
  soc
    .child("plic@c000000")
    .prop("phandle", 1)
    .prop("interrupt-controller", true)
    .prop("bytes", Uint8Array.of(1, 2, 3));
  const bytes = encodeFdt({ root, reservations: [{ address: 0x8000_0000n, size: 0x4_0000n }], bootHart: 0 });
  // Through the compiler and back, so that its way of spelling values does not matter.
  expect(decompile(bytes)).toBe(decompile(compile(SOURCE)));
});

test.skipIf(!hasDtc)("we read what dtc (device-tree-compiler) writes", () => {
  const { root, reservations } = decodeFdt(compile(SOURCE), "a.dtb");
  expect(reservations).toEqual([{ address: 0x8000_0000n, size: 0x4_0000n }]);
  expect([...root.properties.keys()]).toEqual(["#address-cells", "#size-cells", "compatible"]);
  expect(root.find("/memory@80000000")?.properties.get("reg")).toEqual(cells(0, 0x8000_0000, 0, 0x800_0000));
  expect(root.find("/soc/plic@c000000")?.properties.get("bytes")).toEqual(Uint8Array.of(1, 2, 3));
  expect(decompile(encodeFdt({ root, reservations, bootHart: 0 }))).toBe(decompile(compile(SOURCE)));
});

function compile(source: string): Uint8Array {
  return execFileSync("dtc", ["-q", "-I", "dts", "-O", "dtb"], { input: source });
}

function decompile(bytes: Uint8Array): string {
  return execFileSync("dtc", ["-q", "-I", "dtb", "-O", "dts"], { input: bytes, encoding: "utf8" });
}
