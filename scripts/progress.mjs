// Shows the steps of set-up on a terminal, with bars; where there is none, as plain lines. Plain JavaScript, because it runs
// before set-up, on any Node from 20 on.

const WIDTH = 16;
/** Without a terminal, only what takes longer tells how far it is, by the quarter. */
const PATIENCE_MS = 3000;

/**
 * @param {NodeJS.WriteStream} stream
 * @param {NodeJS.ProcessEnv} env
 * @returns {import("../src/node/guest/progress.ts").Progress}
 */
export function terminalProgress(stream, env) {
  const isTerminal = stream.isTTY === true && env["TERM"] !== "dumb";
  const hasColour = isTerminal && (env["NO_COLOR"] ?? "") === "";
  const paint = (/** @type {number} */ code, /** @type {string} */ text) =>
    hasColour ? `\x1b[${code}m${text}\x1b[0m` : text;
  return {
    step(title) {
      const started = performance.now();
      let ended = false;
      let shown = "";
      let reported = 0;
      const show = (/** @type {string} */ line, /** @type {string} */ end) => {
        if (isTerminal) stream.write(`\r\x1b[K${line}${end}`);
        else stream.write(`${line}\n`);
      };
      show(`${paint(36, "·")} ${title} ...`, "");
      return {
        update(fraction, detail = "") {
          const clamped = Math.min(Math.max(fraction, 0), 1);
          const filled = Math.round(clamped * WIDTH);
          // A line that is wider than the terminal would wrap and could not be drawn over.
          const room = Math.max((stream.columns ?? 80) - title.length - WIDTH - 12, 0);
          const percent = `${Math.floor(clamped * 100)}%`.padStart(4);
          const line = ` [${"#".repeat(filled)}${"-".repeat(WIDTH - filled)}]${percent} ${detail.slice(0, room)}`;
          if (ended || line === shown) return;
          shown = line;
          if (!isTerminal) {
            const quarter = Math.floor(clamped * 4);
            if (quarter > reported && quarter < 4 && performance.now() - started > PATIENCE_MS)
              show(`  ${quarter * 25}% ${detail}`, "");
            reported = Math.max(quarter, reported);
            return;
          }
          show(`${paint(36, "·")} ${title}${line}`, "");
        },
        done(detail = "") {
          if (ended) return;
          ended = true;
          const seconds = ((performance.now() - started) / 1000).toFixed(1);
          show(`${paint(32, "✓")} ${title}${detail === "" ? "" : `: ${detail}`} (${seconds} s)`, "\n");
        },
        fail() {
          if (ended) return;
          ended = true;
          show(`${paint(31, "✗")} ${title}`, "\n");
        },
      };
    },
  };
}
