import { expect, test } from "vitest";
import { containerType, type QomObject } from "../qom/object.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import { createObject } from "../qom/type-registry.ts";
import { UserError } from "../util/user-error.ts";
import { Device, deviceType } from "./device.ts";
import { testHost } from "./host-for-tests.ts";
import { checkState, loadTree, saveTree } from "./snapshot.ts";

interface CellState {
  readonly version: 2;
  readonly value: bigint;
}

class Cell extends Device {
  value = 0n;

  override save(): CellState {
    return { version: 2, value: this.value };
  }

  override load(state: unknown): void {
    this.value = checkState<CellState>(state, 2).value;
  }
}

class Stateless extends Device {}

const cellType: TypeInfo<Cell> = { name: "cell", parent: deviceType, create: (type) => new Cell(type) };

/** A machine with cells of these names, and a device without state. */
function machine(...names: string[]): { root: QomObject; cells: Cell[] } {
  const host = testHost();
  const root = createObject(containerType);
  const board = root.addChild("machine", createObject(containerType));
  const cells = names.map((name) => board.addChild(name, createObject(cellType)));
  const rom = board.addChild("rom", new Stateless({ name: "rom", parent: deviceType }));
  for (const device of [...cells, rom]) device.realize(host);
  return { root, cells };
}

test("what was saved is loaded, into another machine too, through a structured clone", () => {
  const first = machine("a", "b");
  first.cells[0]!.value = 5n;
  first.cells[1]!.value = 1n << 63n;
  const saved = saveTree(first.root);
  expect(saved).toEqual({
    "/machine/a": { version: 2, value: 5n },
    "/machine/b": { version: 2, value: 1n << 63n },
  });
  const second = machine("a", "b");
  loadTree(second.root, structuredClone(saved));
  expect(second.cells.map((cell) => cell.value)).toEqual([5n, 1n << 63n]);
});

test("machines that differ are refused, and nothing is loaded", () => {
  const saved = saveTree(machine("uart0", "b").root);
  const { root, cells } = machine("uart1", "b");
  cells[0]!.value = 1n;
  expect(() => loadTree(root, saved)).toThrow(
    new UserError('the snapshot has a device /machine/uart0 that is not there (did you mean "/machine/uart1"?)'),
  );
  expect(() => loadTree(root, { "/machine/uart1": { version: 2, value: 9n } })).toThrow(
    new UserError("the snapshot has no state for /machine/b (cell)"),
  );
  expect(cells[0]!.value).toBe(1n);
});

test.each([
  [{ version: 1, value: 0n }, "its state has version 1, expected 2"],
  [undefined, "its state is not an object with a version"],
  [null, "its state is not an object with a version"],
  ["5", "its state is not an object with a version"],
  [{ value: 0n }, "its state is not an object with a version"],
])("a state %o is refused with the device's name", (state, reason) => {
  const { root } = machine("a");
  expect(() => loadTree(root, { "/machine/a": state })).toThrow(
    new UserError(`the snapshot does not fit /machine/a (cell): ${reason}`),
  );
});

test("a device that is not realized is in no snapshot", () => {
  const { root, cells } = machine("a", "b");
  cells[0]!.unrealize();
  expect(Object.keys(saveTree(root))).toEqual(["/machine/b"]);
});
