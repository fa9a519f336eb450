// Options for character devices and what sits on them: -chardev, -serial, -monitor, -parallel, -display and the like.

import type { ChardevConfig, ChardevTarget, SocketRole } from "../../machine/config.ts";
import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { isHelp, OptionValues, splitKeyValues } from "../key-values.ts";
import type { Draft } from "./draft.ts";

/** The backends there are, by QEMU's names. */
const CHARDEV_BACKENDS = ["file", "null", "pipe", "socket", "stdio"] as const;

const LATER_BACKENDS = [
  ...["braille", "console", "memory", "msmouse", "mux", "parallel", "pty", "qemu-vdagent", "ringbuf", "serial"],
  ...["spiceport", "spicevmc", "testdev", "tty", "udp", "vc", "wctablet"],
];

/** Words that stand for a whole chardev in -serial and -monitor, and prefixes for one with a parameter. */
const SHORT_FORMS = ["none", "null", "stdio", "mon:", "chardev:", "file:", "pipe:", "tcp:", "unix:"];
const LATER_SHORT_FORMS =
  /^(pty|vc|con|braille|msmouse|testdev|wctablet|ringbuf|telnet|websocket|udp|tn3270)(:|$)|^\/dev\//;

const FLAGS = ["server", "wait", "nodelay", "mux", "signal", "append", "logappend"];

export function chardev(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "backend", FLAGS));
  const backend = option.required("backend", "the type of the character device");
  if (isHelp(backend)) {
    draft.help ??= { kind: "chardevs" };
    return;
  }
  if (LATER_BACKENDS.includes(backend))
    throw option.error(`character devices of type ${backend} are not in Plantain yet`);
  const type = CHARDEV_BACKENDS.find((name) => name === backend);
  if (type === undefined) {
    throw option.error(
      `there is no character device type "${backend}"${didYouMean(backend, [...CHARDEV_BACKENDS, ...LATER_BACKENDS])}`,
    );
  }
  addChardev(draft, option, option.requiredId(), TARGETS[type](option));
}

/** Reads what a backend of each type needs. */
const TARGETS: Record<(typeof CHARDEV_BACKENDS)[number], (option: OptionValues) => ChardevTarget> = {
  null: () => ({ type: "null" }),
  stdio: (option) => ({ type: "stdio", signal: option.bool("signal") ?? true }),
  file: (option) => ({
    type: "file",
    path: option.required("path", "the file to write to"),
    append: option.bool("append") ?? false,
  }),
  pipe: (option) => ({ type: "pipe", path: option.required("path", "the pipe, or two pipes ending in .in and .out") }),
  socket: readSocket,
};

function readSocket(option: OptionValues): ChardevTarget {
  const path = option.text("path");
  const host = option.text("host");
  const port = option.integer("port", 0, 65535);
  const role = socketRole(option);
  const noDelay = option.bool("nodelay") ?? false;
  option.notYet("fd", "to", "abstract", "tight", "telnet", "tn3270", "websocket", "tls-creds", "tls-authz");
  option.bool("ipv4");
  option.bool("ipv6");
  if (path !== undefined) {
    if (host !== undefined || port !== undefined) throw option.error("path= cannot go with host= and port=");
    if (path === "") throw option.error("path= is empty: expected the socket's file name");
    return { type: "unix", path, ...role };
  }
  if (port === undefined) throw option.error("port= or path= is missing: expected host=HOST,port=PORT or path=PATH");
  return { type: "tcp", host: host === undefined || host === "" ? "127.0.0.1" : host, port, noDelay, ...role };
}

function socketRole(option: OptionValues): SocketRole {
  const server = option.bool("server") ?? false;
  const wait = option.bool("wait");
  const reconnect = option.integer("reconnect", 0, 3600) ?? 0;
  if (wait !== undefined && !server)
    throw option.error("wait= is for server=on: who connects does not wait for anybody");
  if (reconnect > 0 && server) throw option.error("reconnect= is for who connects: leave it out with server=on");
  return { server, wait: server && (wait ?? true), reconnect };
}

function addChardev(draft: Draft, option: OptionValues, id: string, target: ChardevTarget, muxDefault = false): void {
  const { where } = option;
  const mux = option.bool("mux") ?? muxDefault;
  const logPath = option.text("logfile");
  const logAppend = option.bool("logappend") ?? false;
  option.finish();
  if (draft.chardevs.some((other) => other.id === id)) {
    throw option.error(`there is another character device with id=${id}`);
  }
  const other = draft.chardevs.find((chardev) => chardev.target.type === "stdio");
  if (target.type === "stdio" && other !== undefined) {
    throw option.error(`the terminal is in use already by ${other.where}: share it with mux=on and chardev:ID`);
  }
  const config: ChardevConfig = { id, target, mux, logAppend, where };
  draft.chardevs.push(logPath === undefined ? config : { ...config, logPath });
}

export function serial(draft: Draft, value: string, where: string): void {
  const chardevId = shortForm(draft, value, where, `serial${draft.serials.length}`);
  draft.serials.push({ where, chardev: chardevId });
}

export function monitor(draft: Draft, value: string, where: string): void {
  if (value === "none" || value === "null") draft.monitors.push({ where, chardev: undefined });
  else throw new UserError(`${where}: the monitor is not in Plantain yet: expected none`);
}

export function parallel(_draft: Draft, value: string, where: string): void {
  if (value === "none" || value === "null") return;
  throw new UserError(`${where}: the virt board has no parallel port: expected none`);
}

export function nographic(draft: Draft): void {
  draft.nographic = true;
}

const LATER_DISPLAYS = ["cocoa", "curses", "dbus", "egl-headless", "gtk", "sdl", "spice-app", "vnc"];

export function display(draft: Draft, value: string, where: string): void {
  const type = value.split(/[,=]/, 1)[0]!;
  if (isHelp(type)) {
    draft.help ??= { kind: "displays" };
    return;
  }
  if (LATER_DISPLAYS.includes(type)) throw new UserError(`${where}: displays are not in Plantain yet: expected none`);
  if (value !== "none") throw new UserError(`${where}: expected none${didYouMean(type, ["none", ...LATER_DISPLAYS])}`);
  draft.display = true;
}

export function vga(_draft: Draft, value: string, where: string): void {
  if (value !== "none") throw new UserError(`${where}: displays are not in Plantain yet: expected none`);
}

/** Reads a one-word or `prefix:` form; returns the id of the chardev, undefined for `none`. */
function shortForm(draft: Draft, value: string, where: string, id: string): string | undefined {
  if (value === "none") return undefined;
  const shared = /^chardev:(.*)$/s.exec(value);
  if (shared !== null) return shared[1]!;
  const mon = value.startsWith("mon:");
  const rest = mon ? value.slice("mon:".length) : value;
  const { target, option } = readShortForm(rest, where, mon);
  addChardev(draft, option, id, target, mon);
  return id;
}

function readShortForm(text: string, where: string, mon: boolean): { target: ChardevTarget; option: OptionValues } {
  const plain = new OptionValues(where, []);
  // Ctrl-C goes to the guest where the monitor shares the terminal, as with -nographic.
  if (text === "stdio") return { target: { type: "stdio", signal: !mon }, option: plain };
  if (text === "null") return { target: { type: "null" }, option: plain };
  const [, prefix = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  if (prefix === "file" || prefix === "pipe") {
    if (rest === "") throw plain.error(`the name after ${prefix}: is empty: expected a file`);
    const target: ChardevTarget =
      prefix === "file" ? { type: "file", path: rest, append: false } : { type: "pipe", path: rest };
    return { target, option: plain };
  }
  if (prefix === "unix") {
    const option = new OptionValues(where, splitKeyValues(rest, "path", FLAGS));
    const path = option.required("path", "unix:PATH");
    option.notYet("abstract", "tight", "telnet", "websocket");
    return { target: { type: "unix", path, ...socketRole(option) }, option };
  }
  if (prefix === "tcp") {
    const option = new OptionValues(where, splitKeyValues(rest, "address", FLAGS));
    const address = option.text("address") ?? "";
    const [, host = "", port = ""] = /^(.*):(\d{1,5})$/.exec(address) ?? [];
    if (port === "" || Number(port) > 65535) throw plain.error(`"${address}" is no address: expected tcp:[HOST]:PORT`);
    option.notYet("to", "telnet", "tn3270", "websocket");
    const role = socketRole(option);
    const target: ChardevTarget = {
      type: "tcp",
      host: host === "" ? "127.0.0.1" : host.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port),
      noDelay: option.bool("nodelay") ?? false,
      ...role,
    };
    return { target, option };
  }
  if (LATER_SHORT_FORMS.test(text)) throw plain.error(`"${text}" is not in Plantain yet`);
  const near = didYouMean(text, SHORT_FORMS);
  throw plain.error(`there is no character device "${text}"${near || `: expected ${SHORT_FORMS.join(", ")}...`}`);
}
