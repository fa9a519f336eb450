/** Writes WebAssembly modules: WebAssembly core specification 3.0, chapter 5 (binary format). */
import type { Signature, ValType } from "./ir.ts";

/** A growing byte buffer with the format's integer encodings. */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  private grow(extra: number): void {
    if (this.length + extra <= this.bytes.length) return;
    const next = new Uint8Array(Math.max(this.bytes.length * 2, this.length + extra));
    next.set(this.bytes.subarray(0, this.length));
    this.bytes = next;
  }

  byte(b: number): void {
    if (this.length === this.bytes.length) this.grow(1);
    this.bytes[this.length++] = b;
  }

  raw(bytes: Uint8Array): void {
    this.grow(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Unsigned LEB128, below 2^32. */
  u32(value: number): void {
    let v = value >>> 0;
    while (v >= 0x80) {
      this.byte((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.byte(v);
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let v = value | 0;
    for (;;) {
      const b = v & 0x7f;
      v >>= 7;
      if ((v === 0 && !(b & 0x40)) || (v === -1 && b & 0x40)) {
        this.byte(b);
        return;
      }
      this.byte(b | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit value. */
  s64(value: bigint | number): void {
    if (typeof value === "number" && value === (value | 0)) {
      this.s32(value);
      return;
    }
    let v = BigInt.asIntN(64, BigInt(value));
    for (;;) {
      const b = Number(v & 0x7fn);
      v >>= 7n;
      if ((v === 0n && !(b & 0x40)) || (v === -1n && b & 0x40)) {
        this.byte(b);
        return;
      }
      this.byte(b | 0x80);
    }
  }

  f64(value: number): void {
    this.grow(8);
    new DataView(this.bytes.buffer).setFloat64(this.length, value, true);
    this.length += 8;
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>;
  }
}

/** One import: a function of the host or of another module, a memory, or a table of functions. */
export type Import =
  | {
      readonly kind: "func";
      readonly module: string;
      readonly name: string;
      readonly sig: Signature;
      /** Whether it is exported too, under its name. */
      readonly exported?: boolean;
    }
  | {
      readonly kind: "memory";
      readonly module: string;
      readonly name: string;
      readonly initial: number;
      readonly maximum: number;
      readonly shared: boolean;
    }
  | { readonly kind: "table"; readonly module: string; readonly name: string; readonly initial: number };

/** A function body ready to be placed: its signature, its locals by type and its code without the final `end`. */
export interface CompiledFunc {
  readonly sig: Signature;
  readonly locals: readonly ValType[];
  readonly code: Uint8Array;
  readonly export?: string;
}

/** Collects signatures, giving each distinct one an index. */
export class SignatureTable {
  readonly list: Signature[] = [];
  private readonly index = new Map<string, number>();

  of(sig: Signature): number {
    const key = `${sig.params.join()}>${sig.results.join()}`;
    let i = this.index.get(key);
    if (i === undefined) {
      i = this.list.push(sig) - 1;
      this.index.set(key, i);
    }
    return i;
  }
}

/** Assembles a module from its parts. Functions are numbered: imported ones first, then `funcs` in order. */
export function encodeModule(
  imports: readonly Import[],
  signatures: SignatureTable,
  funcs: readonly CompiledFunc[],
  /** Puts functions (by their index in `funcs`) into the imported table 0, from slot `at` on. */
  elements?: { readonly at: number; readonly funcs: readonly number[] },
): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(4096 + funcs.reduce((n, f) => n + f.code.length + 32, 0));
  out.raw(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
  const section = (id: number, write: (w: ByteWriter) => void) => {
    const w = new ByteWriter(1024);
    write(w);
    out.byte(id);
    out.u32(w.length);
    out.raw(w.bytes.subarray(0, w.length));
  };
  const importedFuncs = imports.filter((i) => i.kind === "func");
  const importTypes = importedFuncs.map((i) => signatures.of(i.sig));
  const funcTypes = funcs.map((f) => signatures.of(f.sig));

  section(1, (w) => {
    w.u32(signatures.list.length);
    for (const s of signatures.list) {
      w.byte(0x60);
      w.u32(s.params.length);
      for (const p of s.params) w.byte(p);
      w.u32(s.results.length);
      for (const r of s.results) w.byte(r);
    }
  });
  section(2, (w) => {
    w.u32(imports.length);
    let f = 0;
    for (const i of imports) {
      w.name(i.module);
      w.name(i.name);
      if (i.kind === "func") {
        w.byte(0);
        w.u32(importTypes[f++]!);
      } else if (i.kind === "table") {
        w.byte(1);
        w.byte(0x70);
        w.byte(0);
        w.u32(i.initial);
      } else {
        w.byte(2);
        w.byte(i.shared ? 3 : 1);
        w.u32(i.initial);
        w.u32(i.maximum);
      }
    }
  });
  section(3, (w) => {
    w.u32(funcs.length);
    for (const t of funcTypes) w.u32(t);
  });
  section(7, (w) => {
    const exported = funcs.flatMap((f, i) =>
      f.export === undefined ? [] : [[f.export, importedFuncs.length + i] as const],
    );
    const passedOn = importedFuncs.flatMap((f, i) => (f.exported ? [[f.name, i] as const] : []));
    w.u32(exported.length + passedOn.length);
    for (const [name, i] of [...passedOn, ...exported]) {
      w.name(name);
      w.byte(0);
      w.u32(i);
    }
  });
  if (elements)
    section(9, (w) => {
      w.u32(1);
      w.byte(0);
      w.byte(0x41);
      w.s32(elements.at);
      w.byte(0x0b);
      w.u32(elements.funcs.length);
      for (const i of elements.funcs) w.u32(importedFuncs.length + i);
    });
  section(10, (w) => {
    w.u32(funcs.length);
    const body = new ByteWriter(4096);
    for (const f of funcs) {
      body.length = 0;
      const runs: [number, ValType][] = [];
      for (const t of f.locals) {
        const last = runs[runs.length - 1];
        if (last && last[1] === t) last[0]++;
        else runs.push([1, t]);
      }
      body.u32(runs.length);
      for (const [n, t] of runs) {
        body.u32(n);
        body.byte(t);
      }
      body.raw(f.code);
      body.byte(0x0b);
      w.u32(body.length);
      w.raw(body.bytes.subarray(0, body.length));
    }
  });
  return out.take();
}
