// The benchmark's runner: its reading of what others print, its arithmetic, and what it says of a measurement. The
// measurements themselves are `npm run bench`.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Bench, BenchError, type Benchmark, inTurn, type Measurement, Skipped } from "../bench/benchmark.ts";
import { EmulatorProcess } from "../bench/emulator-process.ts";
import { Emulator } from "../bench/emulators.ts";
import { BenchGuest, findBenchGuest } from "../bench/guest.ts";
import { judge } from "../bench/host.ts";
import { checkSums } from "../bench/kernels.ts";
import { choose, parseOptions, rowName } from "../bench/options.ts";
import { parseBusy, parseResident, parseStat } from "../bench/proc.ts";
import { measured, type Result, unmeasured, updateBaseline } from "../bench/results.ts";
import { runChoice, type Tools } from "../bench/run.ts";
import { geometricMean, median, spread } from "../bench/statistics.ts";
import { benchmarks } from "../bench/suites/all.ts";
import { formatTable } from "../bench/table.ts";
import { Transcript } from "../bench/transcript.ts";
import type { Progress } from "../src/node/guest/progress.ts";
import { UserError } from "../src/util/user-error.ts";

const time: Benchmark = {
  name: "time",
  title: "A time",
  unit: "s",
  better: "lower",
  cases: [
    { name: "a", title: "first", goal: { ratio: 1.5 } },
    { name: "b", title: "second" },
  ],
  quick: true,
  run: async () => undefined,
};
const rate: Benchmark = {
  ...time,
  name: "rate",
  unit: "M/s",
  better: "higher",
  cases: [{ name: "", title: "only", goal: { value: 10 } }],
  quick: false,
};
const [a, b] = time.cases as [Benchmark["cases"][number], Benchmark["cases"][number]];
const silent: Progress = { step: () => ({ update: () => undefined, done: () => undefined, fail: () => undefined }) };
const tools: Tools = { emulators: [], compiler: "no compiler", guest: "no guest", cache: "" };

const options = (...args: string[]) => parseOptions(args);

describe("options", () => {
  test("three rounds, or one quick one, unless --runs says otherwise", () => {
    expect([options().runs, options("--quick").runs, options("--quick", "--runs", "5").runs]).toEqual([3, 1, 5]);
  });

  test.each([
    [["--runs", "0"], /^--runs 0: expected a number from 1 to 999$/],
    [["--runs", "many"], /^--runs many: expected/],
    [["--faster"], /^Unknown option '--faster' \(--help lists the options\)$/],
    [["stray"], /--help lists the options/],
  ])("%j is refused in one line", (args, message) => {
    expect(() => parseOptions(args)).toThrow(UserError);
    expect(() => parseOptions(args)).toThrow(message);
  });

  test("--only takes benchmarks and rows, and knows its names", () => {
    const chosen = (...args: string[]) => choose([time, rate], options(...args)).map((choice) => [...choice.cases]);
    expect(chosen()).toEqual([["a", "b"], [""]]);
    expect(chosen("--only", "rate,time/b")).toEqual([["b"], [""]]);
    expect(chosen("--quick")).toEqual([["a", "b"]]);
    expect(chosen("--quick", "--only", "rate")).toEqual([[""]]);
    expect(() => chosen("--only", "tame")).toThrow('--only tame: there is no such benchmark (did you mean "time"?)');
  });

  test("every row has a name of its own", () => {
    const names = benchmarks.flatMap((benchmark) => benchmark.cases.map(({ name }) => rowName(benchmark, name)));
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("statistics", () => {
  test("median, geometric mean, spread", () => {
    expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
    expect(geometricMean([1, 2, 4])).toBeCloseTo(2);
    expect(spread([8, 10, 12])).toBeCloseTo(0.2);
  });
});

describe("/proc", () => {
  test("CPU times are found behind any name of a program", () => {
    const stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 10 0 0 0 150 25 1000 500 20 0 11 0 4242 0 0";
    expect(parseStat(stat)).toEqual({ own: 1.75, children: 15 });
  });

  test("resident bytes and the machine's busy time", () => {
    expect(parseResident("VmPeak:\t 999 kB\nVmRSS:\t    2048 kB\nThreads: 3\n")).toBe(2 * 2 ** 20);
    expect(parseResident("Name: kthread\n")).toBeUndefined();
    expect(parseBusy("cpu  100 200 300 9000 800 1 2 3 40 50\ncpu0 1 2 3 4\n")).toBe(6.06);
  });
});

describe("transcript", () => {
  test("a line counts from its last character on, though it comes in pieces", () => {
    const transcript = new Transcript();
    transcript.append("g", 1);
    expect(transcript.find(/go\n/)).toBeUndefined();
    transcript.append("o\nsum 0", 2);
    transcript.append("f\ngo\n", 3);
    const first = transcript.find(/^go\n/m)!;
    expect(first.at).toBe(2);
    expect(transcript.find(/sum (\w+)\n/)).toMatchObject({ at: 3, match: { 1: "0f" } });
    expect(transcript.find(/^go\n/m, first.end)!.at).toBe(3);
    expect(transcript.tail(2)).toBe("sum 0f | go");
  });
});

describe("process", () => {
  const node = (program: string) => new EmulatorProcess(process.execPath, ["-e", program]);

  test("tells when it printed what, and how it ended", async () => {
    await using child = node("console.log('one'); console.error('two')");
    const one = await child.until(/one\n/, 60);
    expect(one.match[0]).toBe("one\n");
    expect(one.at).toBeGreaterThan(0);
    const life = await child.end(60);
    expect(life.status).toBe(0);
    expect(life.wall).toBeGreaterThan(0);
    expect((await child.until(/two\n/, 0)).match[0]).toBe("two\n");
  });

  test("an early end, a failure and a hang are errors that quote the last words", async () => {
    await using early = node("console.log('bye')");
    await expect(early.until(/never/, 60)).rejects.toThrow(/ended with status 0 before \/never\/ \(it said: bye\)$/);
    await using failing = node("console.log('oh'); process.exitCode = 3");
    await expect(failing.end(60)).rejects.toThrow(/ended with status 3 \(it said: oh\)$/);
    await using hanging = node("setInterval(() => {}, 1000)");
    await expect(hanging.until(/never/, 0.05)).rejects.toThrow(/no \/never\/ within 0.05 s/);
    await using crashing = node("console.log('[ 1.2] Kernel panic - not syncing: why'); setInterval(() => {}, 1000)");
    await expect(crashing.until(/never/, 60)).rejects.toThrow(/Linux crashed before \/never\//);
    await using missing = new EmulatorProcess("/nonexistent/emulator", []);
    await expect(missing.until(/never/, 60)).rejects.toThrow(/^\/nonexistent\/emulator does not start/);
  });
});

describe("guest", () => {
  test("the article's line with the files that were given", () => {
    const guest = new BenchGuest({ kernel: "Image", bios: "fw", rootfs: "a,b.ext2" }, "mine");
    const line = guest.articleOptions().join(" ");
    expect(line).toContain("-M virt -bios fw -kernel Image -append rootwait root=/dev/vda ro -drive file=a,,b.ext2,");
    expect(line).toMatch(/snapshot=on -device virtio-blk-device,drive=hd0 .* -nographic$/);
  });

  test("an initramfs instead of the disk, under Sv39", () => {
    const guest = new BenchGuest({ kernel: "Image", append: "root=/dev/vda ro quick=1 rootwait" }, "mine");
    const line = guest.initramfsOptions("kernels.cpio", "512M");
    expect(line[line.indexOf("-append") + 1]).toBe("quick=1 no5lvl no4lvl quiet");
    expect(line).not.toContain("-bios");
    expect(line[line.indexOf("-initrd") + 1]).toBe("kernels.cpio");
  });

  test("a kernel without a disk boots no login prompt; a file that is not there is a mistake", async () => {
    expect(() => new BenchGuest({ kernel: "Image" }, "mine").articleOptions()).toThrow(Skipped);
    await expect(findBenchGuest({ kernel: "/nonexistent" }, {}, silent)).rejects.toThrow(
      "--kernel /nonexistent: no such file",
    );
  });
});

describe("rounds", () => {
  test("the emulators take turns", async () => {
    const emulators = (["ours", "qemu"] as const).map((kind) =>
      Object.assign(Object.create(Emulator.prototype), { kind, name: kind }),
    );
    const order: string[] = [];
    const bench = { runs: 2, emulators, update: () => undefined } as unknown as Bench;
    const rounds = await inTurn(bench, "x", async ({ kind }) => order.push(kind));
    expect(order).toEqual(["ours", "qemu", "ours", "qemu"]);
    expect(rounds).toEqual({ ours: [1, 3], qemu: [2, 4] });
  });

  test("different sums are an error", () => {
    expect(() => checkSums("k0", { ours: ["1", "1"], qemu: ["1"] })).not.toThrow();
    expect(() => checkSums("k0", { ours: ["1", "2"], qemu: ["1"] })).toThrow(
      "k0 came to 2 in one run and to 1 in another",
    );
    expect(() => checkSums("k0", { ours: ["1", "2"], qemu: [] })).toThrow(BenchError);
  });
});

describe("results", () => {
  const slow: Measurement = { ours: [2, 1, 9], qemu: [4, 4, 4], oursCpu: [4], qemuCpu: [2] };

  test("a ratio above 1 is better, whatever the unit", () => {
    expect(measured(time, a, slow)).toMatchObject({ name: "time/a", ratio: 2, cpuRatio: 0.5, reached: true });
    expect(measured(rate, rate.cases[0]!, slow)).toMatchObject({ name: "rate", ratio: 0.5, reached: false });
    expect(measured(time, a, { ours: [4], qemu: [4] }).reached).toBe(false);
  });

  test("without QEMU there is a value and no ratio", () => {
    const result = measured(time, a, { ours: [2], qemu: [] });
    expect(result.ours?.median).toBe(2);
    expect(result).not.toHaveProperty("ratio");
    expect(result).not.toHaveProperty("reached");
    expect(measured(time, b, { ours: [2], qemu: [1], ratio: "none" })).not.toHaveProperty("ratio");
    expect(measured(time, b, { ours: [], qemu: [], ratio: 3 }).ratio).toBe(3);
  });

  test("a ratio more than 15 % below the baseline's is a regression", () => {
    const from = { date: "", cpu: "", qemu: "" };
    const at = (ratio: number) => measured(time, a, slow, { measured: from, ratios: { "time/a": ratio } }).regression;
    expect([at(1), at(2.3), at(2.4)]).toEqual([false, false, true]);
    expect(measured(time, b, slow, { measured: from, ratios: { "time/a": 9 } })).not.toHaveProperty("regression");
  });

  test("a new baseline keeps what was not measured", () => {
    const old = { measured: { date: "1", cpu: "", qemu: "" }, ratios: { "time/a": 9, gone: 1.25 } };
    const results = [measured(time, a, { ours: [3], qemu: [1] }), unmeasured(time, b, "skipped", "why")];
    const next = updateBaseline(old, results, { date: "2", cpu: "", qemu: "" });
    expect(next).toEqual({ measured: { date: "2", cpu: "", qemu: "" }, ratios: { "time/a": 0.333, gone: 1.25 } });
  });
});

describe("running a benchmark", () => {
  const run = (body: (bench: Bench) => void): Promise<Result[]> =>
    runChoice(
      { benchmark: { ...time, run: async (bench) => body(bench) }, cases: new Set(["a", "b"]) },
      tools,
      3,
      undefined,
      silent,
    );

  test("what is missing is skipped with its reason, what was measured before stays", async () => {
    const results = await run((bench) => {
      bench.record("a", { ours: [1], qemu: [] });
      bench.guest.articleOptions();
    });
    expect(results).toMatchObject([
      { name: "time/a", state: "measured" },
      { name: "time/b", state: "skipped", reason: "no guest" },
    ]);
  });

  test("a failure is told with its rows, a mistake of the benchmark's own is thrown", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plantain-bench-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const hung = new BenchError("no prompt", { console: "all\nof it" });
    const [row] = await runChoice(
      { benchmark: { ...time, run: () => Promise.reject(hung) }, cases: new Set(["a"]) },
      { ...tools, cache: folder },
      ...([1, undefined, silent] as const),
    );
    expect(row!.reason).toBe(`no prompt; its console: ${join(folder, "failed-time.txt")}`);
    expect(readFileSync(join(folder, "failed-time.txt"), "utf8")).toBe("all\nof it");
    const fail = (error: Error) =>
      run(() => {
        throw error;
      });
    expect(await fail(new BenchError("wrong sum"))).toMatchObject([
      { name: "time/a", state: "failed", reason: "wrong sum" },
      { name: "time/b", state: "failed" },
    ]);
    await expect(fail(new TypeError("bug"))).rejects.toThrow("bug");
  });
});

describe("report", () => {
  test("the table", () => {
    const baseline = { measured: { date: "", cpu: "", qemu: "" }, ratios: { "time/a": 4 } };
    const results = [
      measured(time, a, { ours: [2, 2.2, 1.8], qemu: [4], note: "by hand" }, baseline),
      measured(rate, rate.cases[0]!, { ours: [123.4], qemu: [] }),
      unmeasured(time, b, "skipped", "no compiler"),
    ];
    expect(formatTable(results)).toBe(
      [
        "           Plantain    QEMU  ratio  CPU ratio               baseline  goal",
        "time/a  2.00 s ±10%  4.00 s  2.00x             4.00x -50% REGRESSION  ≥ 1.50x ok",
        "rate        123 M/s                                                   ≥ 10 M/s ok",
        "",
        "time/a: by hand",
        "",
        "time/b skipped: no compiler",
      ].join("\n"),
    );
  });

  test("a machine that was not quiet", () => {
    expect(judge(0.2, 0.05)).toBeUndefined();
    expect(judge(9, 0.05)).toBeUndefined();
    expect(judge(0.2, 1.5)).toMatch(/other programs kept 1.50 processors busy/);
    expect(judge(0.2, undefined)).toBeUndefined();
    expect(judge(2, undefined)).toMatch(/load average 2.00/);
  });
});
