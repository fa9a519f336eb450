import { describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { containerType, QomObject } from "./object.ts";
import { isA, objectType, propertiesOf, type TypeInfo } from "./type-info.ts";
import { createObject } from "./type-registry.ts";

const fruitType: TypeInfo = {
  name: "fruit",
  parent: objectType,
  abstract: true,
  interfaces: ["edible"],
  properties: {
    weight: { type: "uint32", default: 100, description: "in grams" },
    ripe: { type: "bool" },
    capacity: { type: "size", default: "4K" },
    label: { type: "str" },
    tree: { type: "link" },
    drive: { type: "drive" },
  },
  create: (type) => new QomObject(type),
};
const bananaType: TypeInfo = {
  name: "banana",
  parent: fruitType,
  properties: { weight: { type: "uint32", default: 120 } },
};

const container = () => createObject(containerType);

describe("types", () => {
  test("isA follows ancestors and interfaces", () => {
    const banana = createObject(bananaType);
    expect(["banana", "fruit", "object", "edible"].map((name) => banana.isA(name))).toEqual([true, true, true, true]);
    expect(banana.isA("container")).toBe(false);
    expect(isA(fruitType, "banana")).toBe(false);
  });

  test("properties are inherited and may be replaced", () => {
    expect([...propertiesOf(bananaType).keys()]).toEqual(["capacity", "drive", "label", "ripe", "tree", "weight"]);
    expect(createObject(bananaType).getNumber("weight")).toBe(120);
  });

  test("an abstract type has no objects", () => {
    expect(() => createObject(fruitType)).toThrow(
      new UserError("fruit is an abstract type: choose one that inherits from it"),
    );
  });
});

describe("properties", () => {
  test("have their defaults until set, from values or text", () => {
    const banana = createObject(bananaType, { ripe: "on", capacity: 8192 });
    expect(banana.getBool("ripe")).toBe(true);
    expect(banana.getBigint("capacity")).toBe(8192n);
    expect(banana.getString("label")).toBe("");
    banana.set("label", "bio");
    expect(banana.get("label")).toBe("bio");
    expect(banana.get("tree")).toBeUndefined();
  });

  test("an unknown one is named with the nearest, or with all there are", () => {
    const banana = createObject(bananaType);
    expect(() => banana.set("wieght", 5)).toThrow(
      new UserError('banana has no property "wieght" (did you mean "weight"?)'),
    );
    expect(() => banana.get("colour")).toThrow(
      new UserError('banana has no property "colour" (it has: capacity, drive, label, ripe, tree, weight)'),
    );
    expect(() => container().set("x", 1)).toThrow(new UserError('container has no property "x" (it has none)'));
    expect(() => banana.get("constructor")).toThrow(UserError);
  });

  test("a wrong value names type and property", () => {
    expect(() => createObject(bananaType, { weight: "heavy" })).toThrow(
      new UserError('banana.weight: "heavy" is not a whole number from 0 to 4294967295'),
    );
  });

  test("a getter of another type is the model's bug, not the user's", () => {
    expect(() => createObject(bananaType).getBool("weight")).toThrow(
      new TypeError("banana.weight is a uint32, not a boolean"),
    );
  });

  test("a link is set by path, by object, or by what the resolver finds", () => {
    const root = container();
    const tree = root.addChild("tree", container());
    const banana = root.addChild("banana", createObject(bananaType));
    banana.set("tree", "/tree");
    expect(banana.get("tree")).toBe(tree);
    banana.set("tree", root);
    expect([banana.get("tree"), banana.textOf("tree")]).toEqual([root, "/"]);
    banana.set("tree", "palm", (kind, id) => {
      expect([kind, id]).toEqual(["link", "palm"]);
      return tree;
    });
    expect(banana.get("tree")).toBe(tree);
    expect(() => banana.set("tree", "/oak")).toThrow(new UserError('banana.tree: there is no object at "/oak"'));
  });

  test("a backend is set by id through the resolver, and shows by its id", () => {
    const disk = {};
    const banana = createObject(bananaType, { drive: "hd0" }, () => disk);
    expect([banana.get("drive"), banana.textOf("drive")]).toEqual([disk, "hd0"]);
    expect(() => banana.set("drive", "hd1")).toThrow(new UserError('banana.drive: there is no drive "hd1"'));
    banana.set("drive", undefined);
    expect([banana.get("drive"), banana.textOf("drive")]).toEqual([undefined, ""]);
  });

  test("textOf is what set reads", () => {
    const banana = createObject(bananaType, { ripe: true, weight: 7, label: "x" });
    expect(["ripe", "weight", "capacity", "label"].map((name) => banana.textOf(name))).toEqual([
      "on",
      "7",
      "4096",
      "x",
    ]);
  });
});

describe("composition tree", () => {
  test("paths lead to the objects they name", () => {
    const root = container();
    const machine = root.addChild("machine", container());
    const soc = machine.addChild("soc0", container());
    const hart0 = soc.addChild("harts[*]", createObject(bananaType));
    const hart1 = soc.addChild("harts[*]", createObject(bananaType));
    expect([root.path, machine.path, hart0.path, hart1.path]).toEqual([
      "/",
      "/machine",
      "/machine/soc0/harts[0]",
      "/machine/soc0/harts[1]",
    ]);
    expect(root.resolve("/machine/soc0/harts[1]")).toBe(hart1);
    expect(hart1.resolve("/machine")).toBe(machine);
    expect(machine.resolve("soc0/harts[0]")).toBe(hart0);
    expect(machine.resolve("soc1/harts[0]")).toBeUndefined();
    expect(hart0.parent).toBe(soc);
    expect([...soc.children.keys()]).toEqual(["harts[0]", "harts[1]"]);
  });

  test("a number freed is given out again", () => {
    const root = container();
    const first = root.addChild("device[*]", container());
    root.addChild("device[*]", container());
    first.unparent();
    expect(root.addChild("device[*]", container()).pathComponent).toBe("device[0]");
  });

  test("two parts of one name are refused", () => {
    const root = container();
    root.addChild("peripheral", container()).addChild("net0", createObject(bananaType));
    expect(() => root.resolve("/peripheral")!.addChild("net0", container())).toThrow(
      new UserError('/peripheral has a "net0" already (banana): use another name'),
    );
  });

  test("a part has one owner, a name, and is not its own part", () => {
    const root = container();
    const part = root.addChild("part", container());
    expect(() => container().addChild("again", part)).toThrow("/part is already a part of /");
    expect(() => part.addChild("loop", root)).toThrow("loop would be a part of itself");
    expect(() => root.addChild("", container())).toThrow("a part of / needs a name");
  });

  test("a slash in a name does not make a path of it", () => {
    const rom = container().addChild("rom@etc/tables", container());
    expect(rom.path).toBe("/rom@etc\\x2ftables");
  });

  test("unparent finalizes parts before wholes, once each", () => {
    const finalized: string[] = [];
    class Traced extends QomObject {
      readonly label: string;
      constructor(label: string) {
        super(containerType);
        this.label = label;
      }
      protected override finalize(): void {
        finalized.push(this.label);
      }
    }
    const root = container();
    const whole = root.addChild("whole", new Traced("whole"));
    whole.addChild("a", new Traced("a")).addChild("a1", new Traced("a1"));
    whole.addChild("b", new Traced("b"));
    whole.unparent();
    expect(finalized).toEqual(["a1", "a", "b", "whole"]);
    expect([root.children.size, whole.parent, whole.path]).toEqual([0, undefined, "/"]);
  });
});
