import { expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { QomObject } from "./object.ts";
import { objectType, type TypeInfo } from "./type-info.ts";
import { TypeRegistry } from "./type-registry.ts";

const deviceType: TypeInfo = { name: "device", parent: objectType, abstract: true };
const romType: TypeInfo = {
  name: "banana-rom",
  parent: deviceType,
  properties: { id: { type: "uint32" } },
  create: (type) => new QomObject(type),
};
const bigRomType: TypeInfo = { name: "big-banana-rom", parent: romType, interfaces: ["big"] };
const backendType: TypeInfo = { name: "rng-random", parent: objectType, create: (type) => new QomObject(type) };

function registry(): TypeRegistry {
  const types = new TypeRegistry();
  types.register(bigRomType, backendType);
  return types;
}

test("registering a type brings its ancestors along", () => {
  expect(registry().get("banana-rom")).toBe(romType);
  expect(registry().get("object")).toBe(objectType);
});

test("list gives what can be made, by name, all or of one kind", () => {
  const names = (parent?: string) =>
    registry()
      .list(parent)
      .map((type) => type.name);
  expect(names()).toEqual(["banana-rom", "big-banana-rom", "rng-random"]);
  expect(names("device")).toEqual(["banana-rom", "big-banana-rom"]);
  expect(names("big")).toEqual(["big-banana-rom"]);
});

test("create sets properties, and an inherited create makes the type asked for", () => {
  const rom = registry().create("big-banana-rom", { id: "0x10" });
  expect([rom.typeInfo, rom.getNumber("id")]).toEqual([bigRomType, 16]);
});

test("an unknown type is answered with the nearest that can be made", () => {
  expect(() => registry().create("banana-ron")).toThrow(
    new UserError('there is no type "banana-ron" (did you mean "banana-rom"?)'),
  );
  expect(() => registry().get("e1000")).toThrow(new UserError('there is no type "e1000"'));
});

test("one name is one type", () => {
  const types = registry();
  types.register(romType);
  expect(() => types.register({ name: "banana-rom" })).toThrow(
    new UserError('there are two types named "banana-rom": rename one of them'),
  );
});
