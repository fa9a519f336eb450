import { expect, test } from "vitest";
import { containerType } from "../qom/object.ts";
import { createObject } from "../qom/type-registry.ts";
import { Device, deviceType } from "./device.ts";
import { testHost } from "./host-for-tests.ts";
import { devicesBelow, resetTree } from "./reset.ts";

class Traced extends Device {
  readonly #phases: string[];
  readonly #label: string;

  constructor(label: string, phases: string[]) {
    super({ name: "traced", parent: deviceType });
    this.#label = label;
    this.#phases = phases;
  }

  override resetEnter(): void {
    this.#phases.push(`enter ${this.#label}`);
  }

  override resetHold(): void {
    this.#phases.push(`hold ${this.#label}`);
  }

  override resetExit(): void {
    this.#phases.push(`exit ${this.#label}`);
  }
}

test("each phase reaches all devices, parts before wholes, before the next one begins", () => {
  const phases: string[] = [];
  const host = testHost();
  const machine = createObject(containerType);
  const soc = machine.addChild("soc", new Traced("soc", phases));
  soc.addChild("uart", new Traced("uart", phases));
  machine.addChild("peripheral", createObject(containerType)).addChild("net", new Traced("net", phases));
  const absent = machine.addChild("absent", new Traced("absent", phases));
  for (const device of devicesBelow(machine)) if (device !== absent) device.realize(host);
  resetTree(machine);
  expect(phases).toEqual(
    ["enter", "hold", "exit"].flatMap((phase) => ["uart", "soc", "net"].map((label) => `${phase} ${label}`)),
  );
  phases.length = 0;
  resetTree(soc);
  expect(phases.filter((phase) => phase.startsWith("hold"))).toEqual(["hold uart", "hold soc"]);
});
