// How set-up tells what it is doing. The scripts show it on the terminal; tests record it.

/** Receives the named steps of a set-up, one after another. */
export interface Progress {
  /** Begins a step; the one before it has ended. */
  step(title: string): Step;
}

/** One step. It ends with `done` or `fail`, whichever is called first. */
export interface Step {
  /** How far it is, 0 to 1, and optionally what it is at. */
  update(fraction: number, detail?: string): void;
  done(detail?: string): void;
  fail(): void;
}

/** Runs one named step, and ends it as it ended; what went wrong is for the caller to say. */
export async function inStep<T>(progress: Progress, title: string, body: (step: Step) => Promise<T>): Promise<T> {
  const step = progress.step(title);
  try {
    const result = await body(step);
    step.done();
    return result;
  } catch (error) {
    step.fail();
    throw error;
  }
}
