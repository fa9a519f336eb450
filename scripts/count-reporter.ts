// Counts the tests of a run, and keeps the names of the skipped ones: a test that does not run must be seen not to.

import type { Reporter, TestCase, TestModule } from "vitest/node";

/** A Vitest reporter that says nothing itself; ask it after the run. */
export class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  /** Names of skipped groups and tests, with how many tests each stands for. */
  readonly #skipped = new Map<string, number>();

  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") this.#passed++;
        else if (state === "failed") this.#failed++;
        else this.#skip(module, test);
      }
      // A file that does not load, or hooks that fail, have no test to be counted by.
      if (module.state() === "failed" && !hasFailedTest(module)) this.#failed++;
    }
  }

  #skip(module: TestModule, test: TestCase): void {
    const result = test.result();
    const note = result.state === "skipped" && result.note !== undefined ? ` (${result.note})` : "";
    // One line for a group that is skipped as a whole: its title has the reason.
    let node: TestCase["parent"] | TestCase = test;
    while (node.parent.type === "suite" && node.parent.options.mode === "skip") node = node.parent;
    const name = `${module.relativeModuleId}: ${"fullName" in node ? node.fullName : ""}${node === test ? note : ""}`;
    this.#skipped.set(name, (this.#skipped.get(name) ?? 0) + 1);
  }

  /** `N passed, N failed, N skipped` */
  counts(): string {
    const skipped = [...this.#skipped.values()].reduce((sum, count) => sum + count, 0);
    return `${this.#passed} passed, ${this.#failed} failed, ${skipped} skipped`;
  }

  /** The skipped tests by name, and the counts on a line of their own. */
  report(): string {
    const names = [...this.#skipped].map(([name, count]) => `  ${name}${count > 1 ? ` [${count} tests]` : ""}`);
    return [...(names.length > 0 ? ["Skipped:", ...names] : []), this.counts()].join("\n");
  }
}

function hasFailedTest(module: TestModule): boolean {
  return module.children.allTests("failed").next().done === false;
}
