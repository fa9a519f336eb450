/** Splits assembly text into statements: comments, labels, strings. */
import { UserError } from "../util/user-error.ts";

export interface Statement {
  /** Line number, from 1. */
  readonly line: number;
  readonly label?: string;
  /** Mnemonic, directive, or the name before `=`; operands are the rest of the statement. */
  readonly op?: string;
  readonly operands: string;
}

/** Comments (hash, slashes, block), strings and characters, the ends of statements. A block comment keeps its line ends. */
const PIECE = /\/\*[\s\S]*?\*\/|\/\/.*|#.*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^\\\n])'?|\n|;|[^\n;#"'/]+|./g;

/** Splits a source text. Throws UserError for a string or comment without an end. */
export function statements(source: string, file: string): Statement[] {
  const result: Statement[] = [];
  let line = 1;
  let text = "";
  const flush = (): void => {
    let rest = text.trim();
    text = "";
    for (let label = /^([\w.$]+)\s*:/.exec(rest); label; label = /^([\w.$]+)\s*:/.exec(rest)) {
      if (/^\d/.test(label[1]!) && !/^\d+$/.test(label[1]!))
        throw new UserError(`${file}:${line}: "${label[1]}" is no name for a label`);
      result.push({ line, label: label[1]!, operands: "" });
      rest = rest.slice(label[0].length).trim();
    }
    if (rest === "") return;
    const [, op, operands] = /^([\w.$]+)\s*([\s\S]*)$/.exec(rest) ?? [];
    if (op === undefined) throw new UserError(`${file}:${line}: cannot read "${rest}"`);
    result.push({ line, op, operands: operands! });
  };
  for (const { 0: piece, index } of source.matchAll(PIECE)) {
    if (piece === "\n" || piece === ";") {
      flush();
      if (piece === "\n") line++;
    } else if (piece.startsWith("/*")) {
      text += " ";
      line += piece.split("\n").length - 1;
    } else if (piece.startsWith("//") || piece.startsWith("#")) continue;
    else if (piece === '"') throw new UserError(`${file}:${line}: a string has no end`);
    else if (piece === "/" && source[index + 1] === "*") throw new UserError(`${file}:${line}: a comment has no end`);
    else text += piece;
  }
  flush();
  return result;
}

/** Splits operands at the commas outside parentheses, strings and characters. */
export function splitOperands(text: string): string[] {
  const operands: string[] = [];
  let depth = 0;
  let operand = "";
  for (const [piece] of text.matchAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^\\])'?|[\s\S]/g)) {
    if (piece === "(") depth++;
    else if (piece === ")") depth--;
    if (piece === "," && depth === 0) {
      operands.push(operand.trim());
      operand = "";
    } else operand += piece;
  }
  if (operand.trim() !== "" || operands.length) operands.push(operand.trim());
  return operands;
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8, f: 12, "\\": 92, '"': 34, "'": 39 };

/** The bytes of a quoted string: UTF-8, with the escapes `\n`, `\x41`, `\101` and the like. */
export function unquote(text: string): number[] {
  const inside = /^"((?:\\.|[^"\\])*)"$/s.exec(text)?.[1];
  if (inside === undefined) throw new UserError(`${text} is no string in double quotes`);
  const bytes: number[] = [];
  for (const [piece, octal, hex, letter] of inside.matchAll(/\\(?:([0-7]{1,3})|x([0-9a-fA-F]+)|(.))|[^\\]+/gs)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff);
    else if (hex !== undefined) bytes.push(Number.parseInt(hex.slice(-2), 16));
    else if (letter !== undefined) {
      const byte = ESCAPES[letter];
      if (byte === undefined) throw new UserError(`\\${letter} is no escape in a string`);
      bytes.push(byte);
    } else bytes.push(...new TextEncoder().encode(piece));
  }
  return bytes;
}
