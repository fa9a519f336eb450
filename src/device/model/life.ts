// A device's life by one definition: from its realize, or from a swap, to the next. What the author's code holds on to
// (registers, timers, queues, variables) belongs to one life; a swap makes another one and takes over what it can.

import type { Timer } from "../../util/clock.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import type { DeviceHost } from "../device.ts";
import { createContext, isAsync, isEdge } from "./context.ts";
import { DefinitionError, DeviceError } from "./device-error.ts";
import { type Blueprint, Model } from "./model.ts";
import { siteOf } from "./source-line.ts";
import type { AnySpec } from "./spec.ts";

/** A definition, worked out: what its devices share. */
export interface Design extends Blueprint {
  readonly spec: AnySpec;
}

export interface Life {
  readonly design: Design;
  readonly model: Model;
  readonly props: Readonly<Record<string, unknown>>;
  /** The author's variables: the object that callbacks hold. */
  readonly state: object;
  /** Where its interrupt outputs lead; nowhere while there are none. */
  lines: readonly IrqLine[];
}

/** What a life needs of the device around it. */
export interface LifeOptions {
  readonly host: DeviceHost;
  readonly props: Readonly<Record<string, unknown>>;
  readonly makeTimer: (name: string, fire: () => void) => Timer;
  /** Whether it only finds out what the definition says. */
  readonly trial: boolean;
}

/** Begins a life: registers at their power-on values, `setup` has run. Its lines lead nowhere yet. */
export function beginLife(design: Design, { host, props, makeTimer, trial }: LifeOptions): Life {
  const irqs = (design.spec.irqs ?? []).map((irq, n) => {
    const name = isEdge(irq) ? irq.name : irq;
    const drive = (level: boolean) => life.lines[n]?.(level);
    return { name, label: `irq.${name}`, drive, condition: undefined, level: false };
  });
  const model = new Model(design, host, irqs, makeTimer);
  const life: Life = { design, model, props, state: freshState(design, model), lines: [] };
  setUp(life, host, trial);
  model.start();
  return life;
}

/** The variables as `state` makes them. */
export function freshState({ spec }: Design, model: Model): object {
  return spec.state === undefined ? {} : (model.call("state", spec.state) as object);
}

function setUp({ design, model, props, state }: Life, host: DeviceHost, trial: boolean): void {
  const { spec, type } = design;
  if (spec.setup !== undefined) {
    const context = createContext({ type, model, host, irqs: spec.irqs ?? [], props, state, strictly: trial });
    const late = "setup cannot be async: a device is there at once";
    if (isAsync(spec.setup)) throw new DefinitionError(`${type}: ${late}${siteOf(spec)}`);
    try {
      const result: unknown = (spec.setup as unknown as (context: unknown) => unknown)(context);
      if (typeof (result as { then?: unknown } | undefined)?.then === "function") throw new TypeError(late);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new DeviceError(type, "setup", error);
    }
  }
  for (const [n, irq] of model.irqs.entries()) {
    if (isEdge(spec.irqs![n]!) || irq.condition !== undefined) continue;
    const hint = spec.setup === undefined ? "there is no setup" : "setup never says";
    throw new DefinitionError(
      `${type}: ${irq.label} is declared but never driven: ${hint} irq.${irq.name}(() => condition)${siteOf(spec)}`,
    );
  }
}
