import { expect, test } from "vitest";
import { containerType, QomObject } from "./object.ts";
import { renderProperties, renderTree } from "./render.ts";
import { objectType, type TypeInfo } from "./type-info.ts";
import { createObject } from "./type-registry.ts";

test("the tree has a line per object, sorted by name", () => {
  const root = createObject(containerType);
  const machine = root.addChild("machine", new QomObject({ name: "virt-machine" }));
  machine.addChild("soc0", createObject(containerType)).addChild("harts[*]", new QomObject({ name: "rv64-hart" }));
  machine.addChild("peripheral", createObject(containerType));
  expect(renderTree(machine)).toBe(
    ["/machine (virt-machine)", "  /peripheral (container)", "  /soc0 (container)", "    /harts[0] (rv64-hart)"].join(
      "\n",
    ),
  );
});

test("the properties of a type with their types, descriptions and defaults", () => {
  const type: TypeInfo = {
    name: "disk",
    parent: {
      name: "device",
      parent: objectType,
      properties: { serial: { type: "str" } },
    },
    properties: {
      drive: { type: "drive", description: "the disk's contents" },
      discard: { type: "bool", default: true },
      "queue-size": { type: "uint16", default: 256 },
      logical_block_size: { type: "size", default: "4K", description: "a power of two" },
      werror: { type: "enum", values: ["report", "stop"] },
      bus: { type: "link" },
    },
  };
  expect(renderProperties(type)).toBe(
    [
      "disk options:",
      "  bus=<link>",
      "  discard=<bool>         - on/off (default: on)",
      "  drive=<drive>          - the disk's contents",
      "  logical_block_size=<size> - a power of two (default: 4096)",
      "  queue-size=<uint16>    - (default: 256)",
      '  serial=<str>           - (default: "")',
      '  werror=<report|stop>   - (default: "report")',
    ].join("\n"),
  );
  expect(renderProperties(containerType)).toBe("There are no options for container.");
});
